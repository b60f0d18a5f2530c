"""A token is asked for where somebody can answer, is never shown, and is kept only if that is wanted."""

from __future__ import annotations

import fcntl
import getpass
import io
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.commands import ask_token
from llmserve.errors import LlmserveError, NeedsAccessError
from llmserve.models.hub import login
from llmserve.output import Output
from tests.fakes.hub import FakeHub, Repo

SECRET = "hf_canary0123456789"
WORK = """
import sys
from llmserve.app import Output
from llmserve.commands.ask_token import with_access
from llmserve.errors import LlmserveError
from llmserve.models import describe, resolve
output = Output.from_args(["pull", *sys.argv[2:]])
try:
    model = with_access(output, lambda: describe(resolve(sys.argv[1]), "safetensors"))
    print("LAYERS", model.layers)
except LlmserveError as error:
    sys.exit(output.fail(error))
except KeyboardInterrupt:
    sys.exit(130)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def nothing_typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "xterm")
    yield
    login.use(None)


def refusal() -> NeedsAccessError:
    return NeedsAccessError("org/x is gated.", hint="Accept it.", code="gated", data={"token": False})


def attempt() -> str:
    found = login.find()
    if found is None or found.value != SECRET:
        raise refusal()
    return found.source


class Person:
    """Somebody at the terminal who types ``answers``, and after them nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.answers, self.asked = list(answers), 0
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(login, "_stored", lambda: None)
        monkeypatch.setattr(getpass, "getpass", self.types)
        monkeypatch.setattr(sys, "stdin", Terminal("n\n" * 9))
        self.output = Output("human", "pull", out=Terminal(), err=Terminal())

    def types(self, prompt: str) -> str:
        assert "not shown" in prompt
        self.asked += 1
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    @property
    def saw(self) -> str:
        assert isinstance(self.output.err, Terminal)
        return self.output.err.getvalue()


def test_what_is_typed_is_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, f" {SECRET}\n")
    assert ask_token.with_access(person.output, attempt) == "what was typed"
    assert person.saw.startswith("org/x is gated.\n  Accept it.\n")
    assert SECRET not in person.saw


def test_nothing_is_asked_where_nothing_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch)
    assert ask_token.with_access(person.output, lambda: 5) == 5
    assert (person.asked, person.saw) == (0, "")


@pytest.mark.parametrize("answers", [("",), ("   ",), ()])
def test_giving_up_leaves_the_error(monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]) -> None:
    person = Person(monkeypatch, *answers)
    with pytest.raises(NeedsAccessError, match="org/x is gated"):
        ask_token.with_access(person.output, attempt)
    assert person.asked == 1


def test_three_times_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, *["hf_wrong"] * 9)
    with pytest.raises(NeedsAccessError):
        ask_token.with_access(person.output, attempt)
    assert person.asked == 3


def test_what_cannot_be_a_token_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, f"{SECRET} {SECRET}", SECRET)
    assert ask_token.with_access(person.output, attempt)
    assert "cannot be one" in person.saw
    assert SECRET not in person.saw


def test_other_errors_are_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, SECRET)

    def fails() -> None:
        raise LlmserveError("The disk is full.", code="disk_full")

    with pytest.raises(LlmserveError, match="disk"):
        ask_token.with_access(person.output, fails)
    assert person.asked == 0


@pytest.mark.parametrize("case", ["json", "quiet", "stdin", "stdout", "stderr", "background", "dumb"])
def test_nobody_is_asked_who_cannot_answer(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    person = Person(monkeypatch, SECRET)
    streams = {"out": Terminal(), "err": Terminal()}
    if case in ("stdout", "stderr"):
        streams["out" if case == "stdout" else "err"] = io.StringIO()  # type: ignore[assignment]
    if case == "stdin":
        monkeypatch.setattr(sys, "stdin", io.StringIO())
    if case == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    output = Output(case if case in ("json", "quiet") else "human", "pull", **streams)
    with pytest.raises(NeedsAccessError):
        ask_token.with_access(output, attempt, foreground=case != "background")
    assert person.asked == 0


# --- with a real terminal, the real client, and a hub ---------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    from llmserve import models
    from tests.fakes.hub import folder

    files = folder(models.fetch(models.describe(models.resolve("tiny"), "safetensors")))
    del files["tiny.gguf"]
    locked = Repo(files, readers={SECRET})
    with FakeHub({"org/locked": locked, "org/open": Repo(files)}, tokens={SECRET}) as running:
        yield running


def talk(hub: FakeHub, home: Path, replies: list[tuple[str, str]], *args: str, token: str = "") -> tuple[int, str]:
    """Run the work in a terminal: wait for each prompt, and type the reply to it. The exit code, and the screen."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_ENDPOINT": hub.url, "TERM": "xterm", "HF_TOKEN": token}
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env=env, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    screen, ends = "", time.monotonic() + 240
    waiting = list(replies)
    while time.monotonic() < ends:
        if not select.select([master], [], [], 0.05)[0]:
            continue
        try:
            screen += os.read(master, 4096).decode()
        except OSError:  # the other end is closed
            break
        if waiting and waiting[0][0] in screen[screen.rfind("\n") + 1 :]:
            os.write(master, waiting.pop(0)[1].encode())
    os.close(master)
    assert waiting == [], screen
    return process.wait(240), screen


ASKS, KEEPS = "give up): ", "[y/N] "


def test_a_person_types_a_token_and_it_is_not_kept(hub: FakeHub, tmp_path: Path) -> None:
    code, screen = talk(hub, tmp_path, [(ASKS, f"{SECRET}\n"), (KEEPS, "\n")], "org/locked")
    assert code == 0, screen
    assert "org/locked is gated" in screen
    assert "LAYERS 2" in screen
    assert SECRET not in screen
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]


def test_a_person_keeps_a_token_and_is_not_asked_again(hub: FakeHub, tmp_path: Path) -> None:
    code, screen = talk(hub, tmp_path, [(ASKS, f"{SECRET}\n"), (KEEPS, "y\n")], "org/locked")
    assert code == 0, screen
    kept = tmp_path / ".cache/huggingface/token"
    assert f"Kept in {kept}." in screen.replace("\r\n", "")
    assert (kept.read_text(), kept.stat().st_mode & 0o077) == (SECRET, 0)
    assert SECRET not in screen
    code, screen = talk(hub, tmp_path, [], "org/locked")
    assert (code, "LAYERS 2" in screen) == (0, True)


def test_a_token_that_the_hub_does_not_know_is_not_kept(hub: FakeHub, tmp_path: Path) -> None:
    replies = [(ASKS, "hf_wrong\n"), (KEEPS, "y\n"), (ASKS, "\n")]
    code, screen = talk(hub, tmp_path, replies, "org/locked")
    assert code == 4
    assert "Your access token is not valid" in screen
    assert not (tmp_path / ".cache/huggingface/token").exists()


def test_a_bad_variable_is_mended_for_this_once(hub: FakeHub, tmp_path: Path) -> None:
    replies = [(ASKS, f"{SECRET}\n"), (KEEPS, "y\n")]
    code, screen = talk(hub, tmp_path, replies, "org/open", token="hf_wrong")
    assert code == 0, screen
    assert "HF_TOKEN is not valid" in screen
    assert "HF_TOKEN is set and comes first" in screen
    assert "hf_wrong" not in screen


def test_interrupting_the_question(hub: FakeHub, tmp_path: Path) -> None:
    code, screen = talk(hub, tmp_path, [(ASKS, "\x03")], "org/locked")
    assert code == 130
    assert "Traceback" not in screen


def test_json_asks_nobody(hub: FakeHub, tmp_path: Path) -> None:
    code, screen = talk(hub, tmp_path, [], "org/locked", "--json")
    assert code == 4
    assert "no access token is set" in screen
