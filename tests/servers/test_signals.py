"""Every signal to every process of the embedded engine's tree in every phase, in the foreground and detached."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine.conftest import require
from tests.servers.matrix import PHASES, every, run_chain
from tests.servers.tally import TALLY

WORKERS = 3


@pytest.mark.engine
@pytest.mark.usefixtures("_signals_are_heard")
@pytest.mark.parametrize("detached", [False, True], ids=["foreground", "detached"])
def test_the_embedded_engine(tmp_path: Path, detached: bool) -> None:
    require("llamacpp")
    cases = every(("up", "keeper", "launcher"), detached=detached)
    group = f"signals, llama.cpp, {'detached' if detached else 'foreground'}"
    chains = [cases[number::WORKERS] for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        homes = [tmp_path / str(number) for number in range(WORKERS)]
        results = list(pool.map(run_chain, homes, chains, [group] * WORKERS))
    failures = [failure for result in results for failure in result]
    assert not failures, f"{len(failures)} of {len(cases)} cases failed:\n" + "\n\n".join(failures)
    assert TALLY.phases["llamacpp"] == set(PHASES), "a phase was never hit"
