"""The log on disk: stamped, bounded, whole through rotations and full disks, read back in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmserve.engine import logfile
from llmserve.engine.logfile import Follower, Line, LogFile


def texts(path: Path) -> list[str]:
    return [line.text for line in logfile.lines(path)]


def test_lines_come_back_with_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_796_117_400.125)
    log = LogFile(tmp_path / "log.txt")
    log.write(b"one")
    log.write(b"")
    assert (tmp_path / "log.txt").read_bytes().startswith(b"2026-12-01T09:30:00.125Z one\n")
    assert list(logfile.lines(tmp_path / "log.txt")) == [Line(1_796_117_400.125, "one"), Line(1_796_117_400.125, "")]
    assert (tmp_path / "log.txt").stat().st_mode & 0o777 == 0o600


def test_files_are_bounded_in_size_and_number_and_read_oldest_first(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.txt", limit=200, kept=3)
    for number in range(100):
        log.write(b"%03d" % number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.txt", "log.txt.1", "log.txt.2", "log.txt.3"]
    assert all(file.stat().st_size <= 200 for file in files)
    found = [int(text) for text in texts(tmp_path / "log.txt")]
    assert found == list(range(found[0], 100))
    assert len(found) > 20


def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogFile(tmp_path / "log.txt")
    log.write(b"before")
    write = os.write

    def half(file: int, data: bytes) -> int:
        return write(file, data[:10])

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    for broken in (half, full, full):
        monkeypatch.setattr("os.write", broken)
        log.write(b"lost")
    monkeypatch.undo()
    log.write(b"after")
    assert texts(tmp_path / "log.txt") == ["before", "[llmserve] 3 lines could not be written", "after"]


def test_a_folder_that_cannot_be_written_ends_nobody(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "gone" / "log.txt")
    log.write(b"lost")
    (tmp_path / "gone").mkdir()
    log.write(b"found")
    assert texts(tmp_path / "gone" / "log.txt")[-1] == "found"


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "log.txt").symlink_to(precious)
    LogFile(tmp_path / "log.txt").write(b"line")
    assert precious.read_text() == "mine"


def test_since_begins_at_the_first_line_of_that_time_and_a_clock_set_back_hides_nothing() -> None:
    found = [Line(10, "a"), Line(None, "b"), Line(20, "c"), Line(5, "d"), Line(21, "e")]
    assert [line.text for line in logfile.since(found, 15)] == ["c", "d", "e"]
    assert [line.text for line in logfile.since(found, None)] == ["a", "b", "c", "d", "e"]
    assert [line.text for line in logfile.last(found, 2)] == ["d", "e"]
    assert logfile.last(found, 0) == []


def test_lines_of_other_writers_have_no_time() -> None:
    assert logfile.parsed("plain words that are long enough to hold a time") == Line(
        None, "plain words that are long enough to hold a time"
    )
    assert logfile.parsed("9999-99-99T99:99:99.999Z x").at is None
    assert logfile.parsed("") == Line(None, "")


def test_following_goes_on_where_reading_ended_and_through_rotations(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    log = LogFile(path, limit=120)
    log.write(b"0")
    follower = Follower(path)
    log.write(b"1")
    assert [line.text for line in logfile.lines(path, until=follower)] == ["0"]
    seen = [line.text for line in follower.new()]
    for number in range(2, 30):
        log.write(str(number).encode())
        seen += [line.text for line in follower.new()]
    assert seen == [str(number) for number in range(1, 30)]
    follower.close()
    assert (tmp_path / "log.txt.1").exists()


def test_following_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "log.txt")
    assert list(follower.new()) == []
    LogFile(tmp_path / "log.txt").write(b"first")
    assert [line.text for line in follower.new()] == ["first"]
    follower.close()
