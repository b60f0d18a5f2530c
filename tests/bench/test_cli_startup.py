"""CPU time of short commands against ``python -c pass``, all in one run. ``make bench`` prints the table."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.bench.measure import cpu_seconds, interleaved

BOUNDS = {"--version": 5.0, "ps": 12.0, "--help": 15.0}
SCRIPT = str(Path(sys.executable).with_name("llmserve"))


def test_short_commands_cost_a_few_plain_pythons(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    cases = {"python -c pass": partial(cpu_seconds, [sys.executable, "-c", "pass"], env)}
    cases |= {name: partial(cpu_seconds, [SCRIPT, name], env) for name in BOUNDS}
    medians = interleaved(cases, rounds=15)
    base = medians.pop("python -c pass")
    print(f"\n{'python -c pass':<16} {base * 1000:6.1f} ms CPU")
    for name, bound in BOUNDS.items():
        cost = medians[name]
        print(f"llmserve {name:<10} {cost * 1000:6.1f} ms CPU, {cost / base:.1f} × (bound {bound:.0f} ×)")
    assert all(medians[name] <= bound * base for name, bound in BOUNDS.items())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from llmserve.app import run; run(['--help']); "
        "print([m for m in ('torch', 'sglang', 'huggingface_hub', 'pydantic', 'psutil', 'rich.console') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
