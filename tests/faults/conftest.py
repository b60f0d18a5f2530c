"""The count of cases and of losses stands at the end of the output."""

from __future__ import annotations

import pytest

from tests.faults.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLY.cases:
        return
    losses = sum(TALLY.lost.values())
    worst = f": {TALLY.lost}" if TALLY.lost else ""
    said = f"{losses:,} bytes were fetched although they were there{worst}"
    terminalreporter.section("faults")
    terminalreporter.write_line(
        f"{TALLY.cases} cases, {TALLY.runs} runs of llmserve pull: {TALLY.failed} failed, {TALLY.skipped} skipped."
    )
    terminalreporter.write_line(f"Losses: {len(TALLY.lost)} ({said}).")
    terminalreporter.write_line(
        f"Besides, {TALLY.torn:,} bytes were torn by kills and cuts, and {TALLY.excused:,} fetched again because their "
        "notes had been destroyed or the server knew no ranges."
    )
