"""Conversations on disk: nothing is lost, nobody else reads them, one terminal at a time."""

from __future__ import annotations

import json
import os

import pytest

from llmserve.chat import store
from llmserve.chat.session import Session
from llmserve.chat.store import Saver
from llmserve.chat.turns import Turn
from llmserve.errors import LlmserveError, UsageError
from tests.fakes.endpoint import CUT, Reply, chunk, stream
from tests.unit.chat.talk import Nobody, transcript


def talked(*questions: str) -> Session:
    session = Session(Nobody(), "m", system="s", sampling={"seed": 1})
    session.turns = [
        Turn(question={"role": "user", "content": text}, replies=[{"role": "assistant", "content": "A"}], cut=True)
        for text in questions
    ]
    return session


def test_the_true_text_is_kept_and_comes_back() -> None:
    hostile = "a\x1b]52;c;ZXZpbA==\x07\u202e\x9b2J\x00b 😀"
    transcript(stream(hostile), [hostile], save=True)
    (kept,) = store.saved()
    assert kept.turns[0].question["content"] == hostile
    assert kept.turns[0].answer == hostile
    raw = (store.folder() / f"{kept.name}.json").read_bytes()
    assert b"\x1b" not in raw, "cat of the file is harmless, too"


def test_a_cut_answer_and_an_unanswered_question_are_kept() -> None:
    answers = [Reply(pieces=[chunk("Par"), CUT]), Reply(pieces=[CUT])]
    transcript(answers, ["a", "b"], save=True)
    (kept,) = store.saved()
    assert (kept.turns[0].answer, kept.turns[0].cut) == ("Par", True)
    assert kept.pending == {"role": "user", "content": "b"}
    session = Session(Nobody(), "m")
    kept.into(session)
    assert session.undo() == {"role": "user", "content": "b"}


def test_files_are_for_their_owner_alone_and_hold_no_key() -> None:
    saver = Saver("http://h/v1", "mine")
    saver.save(talked("a"))
    assert saver.path.stat().st_mode & 0o077 == 0
    assert store.folder().stat().st_mode & 0o077 == 0
    assert json.loads(saver.path.read_text())["system"] == "s"


def test_nothing_said_leaves_no_file() -> None:
    saver = Saver("http://h/v1")
    saver.save(Session(Nobody(), "m"))
    saver.close()
    assert store.saved() == []


def test_a_crash_while_writing_leaves_the_file_before(monkeypatch: pytest.MonkeyPatch) -> None:
    saver = Saver("http://h/v1", "mine")
    saver.save(talked("a"))
    more = talked("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            saver.save(more)
    assert len((store.find("mine") or store.newest()).turns) == 1


def test_two_terminals_do_not_share_a_conversation() -> None:
    first = Saver("http://h/v1", "mine")
    with pytest.raises(UsageError, match="open in another terminal"):
        Saver("http://h/v1", "mine")
    first.close()
    Saver("http://h/v1", "mine").close()


def test_two_conversations_of_the_same_second_get_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmserve.chat.store.time.strftime", lambda *_: "now")
    savers = [Saver("u"), Saver("u"), Saver("u")]
    for saver in savers:
        saver.save(talked("a"))
    savers[0].close()
    fourth = Saver("u")
    fourth.save(talked("b"))
    assert [saver.name for saver in (*savers, fourth)] == ["now", "now-2", "now-3", "now-4"]


def test_damaged_files_are_passed_over_and_named_when_asked_for() -> None:
    Saver("u", "good").save(talked("a"))
    for name, text in (("torn", '{"version": 1, "tur'), ("other", "[]"), ("future", '{"version": 99, "turns": []}')):
        (store.folder() / f"{name}.json").write_text(text)
        with pytest.raises(LlmserveError, match="no conversation that this version can read"):
            store.find(name)
    assert [each.name for each in store.saved()] == ["good"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 100, "a\0"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(UsageError, match="no name for a conversation"):
        store.find(name)


def test_the_newest() -> None:
    with pytest.raises(UsageError, match="no earlier conversation"):
        store.newest()
    for name in ("a", "b"):
        saver = Saver("u", name)
        saver.save(talked(name))
        saver.close()
    assert store.newest().name == "b"


def test_a_full_disk_is_said_once_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmserve.paths.write_atomic", full)
    text, _, chat = transcript(stream("A."), ["a", "b"], save=True)
    assert text.count("The conversation cannot be kept: No space left on device.") == 1
    assert len(chat.session.turns) == 2
