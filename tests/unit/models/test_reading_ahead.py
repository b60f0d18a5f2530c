from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from llmserve.models.headers.ahead import Ahead


def test_files_of_a_disk_are_read_when_they_are_asked_for() -> None:
    done: list[int] = []

    def read(number: int) -> int:
        done.append(number)
        return number

    with Ahead(0) as ahead:
        results = [ahead.start(partial(read, number)) for number in range(3)]
        assert done == []
        assert results[2]() == 2
    assert done == [2]


def test_reads_of_a_hub_wait_together() -> None:
    barrier = threading.Barrier(4, timeout=10)
    with Ahead(4) as ahead:
        results = [ahead.start(barrier.wait) for _ in range(4)]
        assert sorted(result() for result in results) == [0, 1, 2, 3]


def test_no_more_than_so_many_at_once() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def read() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    with Ahead(3) as ahead:
        for result in [ahead.start(read) for _ in range(12)]:
            result()
    assert most[0] == 3


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    def fail() -> None:
        raise TimeoutError("no answer")

    with Ahead(2) as ahead:
        result = ahead.start(fail)
        with pytest.raises(TimeoutError, match="no answer"):
            result()


@pytest.mark.parametrize("again", [True, False])
def test_a_read_that_is_late_is_done_once_more(again: bool) -> None:
    attempts: list[int] = []
    lost = threading.Event()

    def read() -> int:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            lost.wait(1.0)
            return 0
        return 1

    with Ahead(2) as ahead:
        late = ahead.start(read, again=again)
        for quick in [ahead.start(lambda: None) for _ in range(10)]:
            quick()
        assert late() == (1 if again else 0)
        lost.set()
    assert len(attempts) == (2 if again else 1)


def test_nobody_waits_for_what_is_not_wanted_any_more() -> None:
    silent = threading.Event()
    begun: list[int] = []

    def interrupted() -> None:
        with Ahead(1) as ahead:
            ahead.start(lambda: silent.wait(20))
            ahead.start(lambda: begun.append(1))
            raise KeyError

    began = time.monotonic()
    with pytest.raises(KeyError):
        interrupted()
    assert time.monotonic() - began < 5
    silent.set()
    time.sleep(0.05)
    assert begun == []
