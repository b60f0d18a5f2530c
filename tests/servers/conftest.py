"""The count of cases stands at the end of the output."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.servers.tally import TALLY


@pytest.fixture
def _signals_are_heard() -> Iterator[None]:
    """Whoever ran the tests may ignore some (``nohup``, a script's ``&``); what is started here would inherit that."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLY.cases:
        return
    terminalreporter.section("servers")
    for group in sorted(TALLY.cases):
        cases, missed, failed = TALLY.cases[group], TALLY.missed[group], TALLY.failed[group]
        terminalreporter.write_line(f"{group}: {cases} cases, {failed} failed, {missed} not hit")
    total, failed, missed = (sum(each.values()) for each in (TALLY.cases, TALLY.failed, TALLY.missed))
    terminalreporter.write_line(
        f"Together: {total} cases in {TALLY.starts} starts, {failed} failed, {missed} not hit, {TALLY.orphans} orphans."
    )
    for line in (*TALLY.skipped, *TALLY.figures):
        terminalreporter.write_line(line)
