"""The log pump: secrets out, progress bars understood but not kept, the weightiest cause wins."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.engine import logfile
from llmserve.engine.base import Failure, Progress
from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.log import LogPump
from llmserve.engine.redact import REDACTED

KEY = "sk-canary-0123456789"


def pump(pieces: list[bytes], path: Path) -> tuple[str, LogPump, list[Progress]]:
    """Feed the pieces through a pipe and return what was kept."""
    reader, writer = os.pipe()
    seen: list[Progress] = []
    thread = LogPump(reader, path, LlamaCpp(), [KEY], seen.append)
    thread.start()
    for piece in pieces:
        os.write(writer, piece)
    os.close(writer)
    thread.join(60)
    return "".join(f"{line.text}\n" for line in logfile.lines(path)), thread, seen


def test_the_file_is_private_and_holds_whole_lines(tmp_path: Path) -> None:
    text, _, _ = pump([b"one\ntw", b"o\nthree"], tmp_path / "log")
    assert text == "one\ntwo\nthree\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_progress_bars_keep_their_last_state_only(tmp_path: Path) -> None:
    text, thread, _ = pump([b"loading 10%\rloading 90%\rloading 100%\nnext\n"], tmp_path / "log")
    assert text == "loading 100%\nnext\n"
    assert "loading 10%" in thread.tail


@given(cuts=st.lists(st.integers(min_value=1, max_value=60), max_size=6))
def test_a_key_never_reaches_the_log_however_the_pipe_cuts_it(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    line = f"server_args={{'api_key': '{KEY}', 'port': 1}} Bearer {KEY}\n".encode()
    edges = sorted({0, *cuts, len(line)})
    pieces = [line[a:b] for a, b in pairwise(edges)]
    text, _, _ = pump(pieces, tmp_path_factory.mktemp("log") / "log")
    assert KEY not in text
    assert text.encode().count(REDACTED) == 2


def test_a_line_without_end_is_cut_at_the_same_places_however_it_arrives(tmp_path: Path) -> None:
    line = b"x" * ((1 << 20) - 5) + KEY.encode() + b"y" * (1 << 20)
    whole, _, _ = pump([line], tmp_path / "whole")
    pieces, _, _ = pump([line[at : at + 50_001] for at in range(0, len(line), 50_001)], tmp_path / "pieces")
    assert whole == pieces
    assert KEY not in whole.replace("\n", "")
    assert "[redacted]" in whole.replace("\n", "")


def test_the_weightiest_cause_wins(tmp_path: Path) -> None:
    _, thread, seen = pump(
        [
            b"0.0 I srv    load_model: loading model 'x'\n",
            b"E error loading model: tensor 'a.weight' data is not within the file bounds, model is corrupted\n",
            b"E srv init: exiting due to model loading error\n",
        ],
        tmp_path / "log",
    )
    assert isinstance(thread.cause, Failure)
    assert thread.cause.code == "broken_checkpoint"
    assert "a.weight" in thread.cause.message
    assert [progress.stage for progress in seen] == ["load"]
