"""Every signal to every process of the embedded engine's tree in every phase."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine.conftest import require
from tests.servers.matrix import ALL, PHASES, every, once, run_chain
from tests.servers.tally import TALLY

WORKERS = 3
VICTIMS = ("up", "keeper", "launcher")
GROUP = "signals, llama.cpp"


@pytest.mark.engine
@pytest.mark.usefixtures("_signals_are_heard")
def test_the_embedded_engine(tmp_path: Path) -> None:
    require("llamacpp")
    cases = [*every(VICTIMS, detached=False), *every(VICTIMS, detached=True)] if ALL else once(VICTIMS)
    chains = [cases[number::WORKERS] for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        homes = [tmp_path / str(number) for number in range(WORKERS)]
        results = list(pool.map(run_chain, homes, chains, [GROUP] * WORKERS))
    failures = [failure for result in results for failure in result]
    assert not failures, f"{len(failures)} of {len(cases)} cases failed:\n" + "\n\n".join(failures)
    assert TALLY.phases["llamacpp"] == set(PHASES), "a phase was never hit"
