"""What a listener is told: bytes that only grow, a rate that is an average, and every trouble once at least."""

from __future__ import annotations

import pytest

from llmserve.models.hub.progress import Event, Meter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("llmserve.models.hub.progress.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def told() -> list[Event]:
    return []


def test_events_come_at_most_five_times_a_second(clock: list[float], told: list[Event]) -> None:
    meter = Meter(1000, told.append)
    for _ in range(100):
        clock[0] += 0.01
        meter.tell()
    assert 4 <= len(told) <= 5
    meter.tell(now=True)
    assert 5 <= len(told) <= 6


def test_a_steady_rate_is_told_as_it_is(clock: list[float], told: list[Event]) -> None:
    meter = Meter(10_000, told.append)
    meter.found("cached", 4000)
    meter.begin("file", 6000, 0)
    for _ in range(10):
        clock[0] += 0.25
        meter.received("file", 100)
        meter.tell()
    assert told[-1].rate == pytest.approx(400)
    assert told[-1].done_bytes == 5000
    assert told[-1].eta_seconds == pytest.approx(5000 / 400)
    assert told[-1].files == (("file", 1000, 6000, "fetching"),)


def test_the_rate_follows_slowly(clock: list[float], told: list[Event]) -> None:
    meter = Meter(10**9, told.append)
    for size in (1000, 1000, 1000, 0):
        clock[0] += 1
        meter.received("file", size)
        meter.tell()
    assert 500 < told[-1].rate < 1000


def test_bytes_never_fall_though_a_file_is_fetched_again(clock: list[float], told: list[Event]) -> None:
    meter = Meter(1000, told.append)
    meter.begin("file", 1000, 0)
    for change in (600, -600, 300, 500):
        clock[0] += 1
        meter.found("file", change)
        meter.tell()
    assert [event.done_bytes for event in told] == [600, 600, 600, 800]
    meter.end("file")
    meter.tell(now=True)
    assert (told[-1].done_bytes, told[-1].files, told[-1].eta_seconds) == (1000, (), 0.0 if not told[-1].rate else 0)


def test_a_trouble_is_told_though_other_files_go_on(clock: list[float], told: list[Event]) -> None:
    meter = Meter(1000, told.append)
    meter.begin("a", 500, 0)
    meter.begin("b", 500, 0)
    meter.state("a", "retrying", "a: the connection broke")
    meter.received("b", 10)
    clock[0] += 1
    meter.tell()
    meter.received("b", 10)
    clock[0] += 1
    meter.tell()
    assert [event.note for event in told] == ["a: the connection broke", ""]
    assert told[0].files[0] == ("a", 0, 500, "retrying")
