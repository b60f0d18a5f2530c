"""When an engine that ended by itself is begun again."""

from __future__ import annotations

import dataclasses

import pytest

from llmserve.engine.base import Failure
from llmserve.engine.restarts import PAUSES, WINDOW, Restarts

DIED = Failure(code="killed", message="It was killed.", hint="")


@dataclasses.dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_and_end() -> None:
    restarts = Restarts(clock=Clock())
    assert [restarts.pause(DIED, been_ready=True) for _ in range(5)] == [*PAUSES, None, None]
    assert list(PAUSES) == sorted(PAUSES)


def test_what_was_long_ago_does_not_count() -> None:
    clock = Clock()
    restarts = Restarts(clock=clock)
    for _ in range(10):
        assert restarts.pause(DIED, been_ready=True) == PAUSES[0]
        clock.now += WINDOW + 1


def test_a_start_that_failed_is_not_tried_again() -> None:
    assert Restarts().pause(DIED, been_ready=False) is None


@pytest.mark.parametrize("code", ["bad_flag", "broken_checkpoint", "internal"])
def test_a_failure_that_would_come_again_is_final(code: str) -> None:
    assert Restarts().pause(dataclasses.replace(DIED, code=code), been_ready=True) is None
