"""Access tokens: which one is used, and what becomes of those that cannot be one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import describe, resolve
from llmserve.models.hub import access, login
from llmserve.models.hub.api import Hub
from tests.fakes.hub import FakeHub
from tests.fakes.scripted import Answer, about, scripted

SECRET = "hf_canary0123456789"


@pytest.fixture(autouse=True)
def nothing_typed() -> Iterator[None]:
    yield
    login.use(None)


def refused(ref: str) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        describe(resolve(ref), "safetensors")
    return caught.value


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
@pytest.mark.parametrize("written", ["{}", " {}\n", "\t{}\r\n"])
def test_a_token_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str, written: str) -> None:
    monkeypatch.setenv(variable, written.format(SECRET))
    assert login.find() == login.Token(SECRET, variable)


@pytest.mark.parametrize("written", ["{}", "{}\n", "  {}\r\n\n"])
def test_a_token_from_the_login(hub: FakeHub, home: Path, written: str) -> None:
    (home / "token").write_text(written.format(SECRET))
    assert login.find() == login.Token(SECRET, str(home / "token"))


def value() -> str | None:
    found = login.find()
    return found.value if found else None


def test_which_token_comes_first(hub: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login.find() is None
    (home / "token").write_text("from-file")
    monkeypatch.setenv("HF_TOKEN", "  ")
    assert value() == "from-file"
    monkeypatch.setenv("HF_TOKEN", "from-variable")
    assert value() == "from-variable"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert login.find() is None
    login.use(login.Token("typed", access.TYPED))
    assert value() == "typed"


@pytest.mark.parametrize("token", [f"{SECRET} x", f"{SECRET}\nx", f"{SECRET}\t2", f"{SECRET}é", f"\x1b{SECRET}"])
def test_what_cannot_be_a_token_is_refused_and_not_shown(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    error = refused("org/tiny")
    assert (type(error), error.code) == (UsageError, "bad_token")
    assert error.message.startswith("The access token in HF_TOKEN cannot be one")
    assert "HF_TOKEN" in (error.hint or "")
    assert SECRET not in str(error.as_dict())
    assert hub.requests == []


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_login_that_cannot_be_read(hub: FakeHub, home: Path, content: bytes | None) -> None:
    path = home / "token"
    path.write_bytes(content) if content else path.mkdir()
    error = refused("org/tiny")
    assert error.code == "bad_token"
    assert str(path) in error.message


def test_a_login_that_is_not_valid(hub: FakeHub, home: Path) -> None:
    (home / "token").write_text(f"{SECRET}\n")
    error = refused("org/tiny")
    assert error.message.startswith(f"The access token in {home / 'token'} is not valid")
    assert "hf auth logout" in (error.hint or "")


def test_tokens_are_not_shown(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert SECRET not in repr(login.find())
    for ref in ("org/tiny", "org/gated", "org/absent"):
        error = refused(ref)
        chain: BaseException | None = error
        while chain is not None:
            assert SECRET not in f"{chain!r} {chain} {vars(chain)}"
            chain = chain.__cause__ or chain.__context__
    assert SECRET not in caplog.text


def test_the_token_goes_to_the_hub_alone() -> None:
    login.use(login.Token(SECRET, access.TYPED))
    with (
        scripted(lambda _: Answer(about())) as elsewhere,
        scripted(lambda _: Answer(status=307, headers={"Location": f"{elsewhere.url}/api/models/org/y"})) as server,
        closing(Hub(server.url)) as hub,
    ):
        hub.listing("org/x")
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in elsewhere.requests[0].headers


def test_the_question_whether_a_model_is_public_is_asked_without_a_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    refused("org/tiny")
    assert hub.requests == ["GET /api/models/org/tiny"] * 2
