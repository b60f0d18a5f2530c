"""Slow or stuck: what an engine that takes long is doing, and when waiting is in vain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from llmserve.engine.activity import QUIET, STUCK, Activity

LIMIT = 600.0


@dataclasses.dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def run(
    seconds: int,
    *,
    cpu: float = 0,
    read: float = 0,
    lines: Callable[[int], int] = lambda _: 1,
    patient: bool = True,
) -> Activity:
    """An engine for ``seconds``: CPU seconds and bytes per second, and lines by then."""
    clock = Clock()
    activity = Activity(limit=LIMIT, patient=patient, clock=clock)
    for second in range(seconds):
        clock.now += 1
        activity.note(cpu * second, read * second, lines(second))
    return activity


def test_while_lines_come_there_is_nothing_to_say() -> None:
    assert run(100, lines=lambda second: second).words() == ""
    assert run(int(QUIET) - 2).words() == ""


def test_a_silent_engine_is_slow_while_it_reads_or_computes() -> None:
    assert run(100, read=200e6).words() == "slow, not stuck: reading 0.19 GiB/s"
    assert run(100, cpu=1.8).words() == "slow, not stuck: computing (180% of a core)"


def test_an_engine_that_does_nothing_may_be_stuck() -> None:
    assert run(100).words().startswith("stuck?")
    assert run(100).verdict("tiny", "load") is None


def test_one_that_did_nothing_for_long_is_given_up_before_its_limit() -> None:
    found = run(int(STUCK) + 60).verdict("tiny", "load")
    assert found is not None
    assert (found.code, found.exit_code) == ("stuck", 5)
    assert "stage load" in found.message


def test_the_limit_is_none_while_bytes_or_lines_move() -> None:
    assert run(3000, read=5e6).verdict("tiny", "load") is None
    assert run(3000, lines=lambda second: second // 60).verdict("tiny", "load") is None


def test_one_that_only_computes_has_more_time_but_not_for_ever() -> None:
    assert run(1000, cpu=1).verdict("tiny", "graphs") is None
    found = run(2000, cpu=1).verdict("tiny", "graphs")
    assert found is not None
    assert found.code == "not_ready"
    assert "computing" in found.message


def test_a_limit_that_the_user_gave_is_kept_to() -> None:
    found = run(601, read=500e6, lines=lambda second: second, patient=False).verdict("tiny", "load")
    assert found is not None
    assert "not ready within 600 s (last stage: load" in found.message


def test_one_that_others_keep_from_the_processor_is_not_stuck() -> None:
    clock = Clock()
    activity = Activity(limit=LIMIT, patient=True, clock=clock)
    for _ in range(int(STUCK) + 60):
        clock.now += 1
        activity.note(0, 0, 1, waits_for="a processor")
    assert activity.words() == "slow, not stuck: waiting for a processor, which others use"
    assert activity.verdict("tiny", "start") is None


def test_a_process_that_ended_takes_its_count_along() -> None:
    clock = Clock()
    activity = Activity(limit=LIMIT, patient=True, clock=clock)
    for cpu in (500.0, 500.0, 3.0):
        clock.now += 10
        activity.note(cpu, 0, 0)
    assert activity.words().startswith("stuck?")
