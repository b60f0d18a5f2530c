"""The record of starts: nothing is lost, nothing that is broken matters, and it never grows without end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmserve import history, paths
from tests.fakes.starts import start


def record() -> Path:
    return paths.state_dir() / "starts.jsonl"


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Path]:
    """The state folder, given back its rights afterwards so that pytest can remove it."""
    folder = paths.private_dir(paths.state_dir())
    yield folder
    folder.chmod(0o700)


def test_before_the_first_start_there_is_none() -> None:
    assert history.load() == ()


def test_starts_are_read_back_whole_the_oldest_first() -> None:
    starts = tuple(start(at=float(number), model=f"model-{number}") for number in range(3))
    for one in starts:
        history.append(one)
    assert history.load() == starts


def test_the_record_is_private_and_versioned() -> None:
    history.append(start())
    assert record().stat().st_mode & 0o777 == 0o600
    assert json.loads(record().read_text())["version"] == history.VERSION


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 3)
    for number in range(5):
        history.append(start(at=float(number)))
    assert [one.at for one in history.load()] == [2.0, 3.0, 4.0]
    assert len(record().read_text().splitlines()) == 3


BROKEN = (
    "", "{", "[]", "null", "5", '{"version": 1}', '{"version": 2, "at": 1.0}', '"' + "x" * 100, "[" * 100_000, "\x00",
)  # fmt: skip


@pytest.mark.parametrize("line", BROKEN, ids=range(len(BROKEN)))
def test_a_line_that_cannot_be_read_is_passed_over(line: str) -> None:
    history.append(start(at=1.0))
    with record().open("a") as file:
        file.write(line)  # torn: no end of line
    history.append(start(at=2.0))
    assert [one.at for one in history.load()] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("at",), "NaN"), (("at",), "1e999"), (("at",), "-1"), (("free_bytes",), "1" + "0" * 400),
        (("measured", "seconds", "ready"), "1" + "0" * 400), (("measured", "kv_tokens"), "-5"),
        (("predicted", "kv_tokens"), '"many"'),
    ],
)  # fmt: skip
def test_a_start_with_impossible_figures_is_passed_over(place: tuple[str, ...], value: str) -> None:
    history.append(start())
    table = data = json.loads(record().read_text())
    for step in place[:-1]:
        table = table[step]
    table[place[-1]] = "HERE"
    record().write_text(json.dumps(data).replace('"HERE"', value))
    assert history.load() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(tail=st.binary(max_size=200))
def test_whatever_stands_in_the_file_the_next_start_is_recorded(tail: bytes) -> None:
    paths.private_dir(paths.state_dir())
    record().write_bytes(tail)
    history.append(start(at=7.0))
    assert [one.at for one in history.load()] == [7.0]


def test_a_read_only_state_folder_is_no_reason_to_fail(writable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    history.append(start(at=1.0))
    monkeypatch.setattr(paths, "write_atomic", refuse)  # root may write anywhere, so rights alone prove nothing
    history.append(start(at=2.0))
    assert [one.at for one in history.load()] == [1.0]


def test_a_record_that_cannot_be_read_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    history.append(start(at=1.0))
    before = record().read_text()

    def refuse(*_: object, **__: object) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", refuse)
        history.append(start(at=2.0))
        assert history.load() == ()
    assert record().read_text() == before


def test_a_folder_in_its_place_is_no_reason_to_fail() -> None:
    record().mkdir(parents=True)
    history.append(start())
    assert history.load() == ()


WRITER = """
import sys
from dataclasses import replace
from llmserve import history
from tests.fakes.starts import start
for number in range(20):
    history.append(replace(start(), model=f"{sys.argv[1]}-{number}"))
"""


def test_writers_at_the_same_time_lose_nothing() -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name]) for name in ("a", "b", "c")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = [one.model for one in history.load()]
    assert sorted(found) == sorted(f"{name}-{number}" for name in "abc" for number in range(20))
    assert list(paths.state_dir().glob(".*.jsonl.*")) == []


def test_text_from_elsewhere_stays_on_its_line() -> None:
    strange = replace(start(), model="a\nb\u2028c\x1b[31m")
    history.append(strange)
    assert history.load() == (strange,)
    assert len(record().read_bytes().splitlines()) == 1
