"""``llmserve connect``: texts for clients, keys that stay hidden, and clients that are run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.app import run
from tests.fakes.endpoint import FakeEndpoint, Reply, completion, error

Capture = pytest.CaptureFixture[str]
KEY = "sk-canary-12345678"
MODELS = Reply(body={"object": "list", "data": [{"id": "tiny", "object": "model", "max_model_len": 2048}]})


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with FakeEndpoint({"/v1/models": MODELS, "/v1/chat/completions": completion("Hello")}) as fake:
        yield fake


def connected(capfd: Capture, *args: str, code: int = 0) -> dict[str, Any]:
    assert run(["connect", *args, "--json"]) == code
    return dict(json.loads(capfd.readouterr().out))


def test_without_a_client_there_is_a_list(capfd: Capture) -> None:
    assert run(["connect"]) == 0
    assert "openai-python" in capfd.readouterr().out


def test_a_key_of_the_environment_stays_there(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("shell", "openai-python", "openai-node", "curl", "llm", "continue", "open-webui"):
        assert run(["connect", name, "--base-url", fake.url]) == 0
        said = capfd.readouterr()
        assert KEY not in said.out + said.err
        assert "OPENAI_API_KEY" in said.out
    assert fake.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_the_key_is_shown_when_that_is_asked_for(fake: FakeEndpoint, capfd: Capture) -> None:
    args = ["connect", "shell", "--base-url", fake.url, "--api-key", KEY]
    assert run(args) == 0
    said = capfd.readouterr()
    assert KEY not in said.out + said.err
    assert "Put the key into OPENAI_API_KEY first" in said.err
    assert run([*args, "--show-key", "-q"]) == 0
    assert f"export OPENAI_API_KEY={KEY}" in capfd.readouterr().out


def test_no_key_is_needed(fake: FakeEndpoint, capfd: Capture) -> None:
    data = connected(capfd, "llamaindex", "--base-url", fake.url)["data"]
    assert (data["model"], data["key"]) == ("tiny", {"from": "none", "name": None})
    assert "context_window=2048" in data["text"]


def test_an_endpoint_that_does_not_answer(capfd: Capture) -> None:
    body = connected(capfd, "curl", "--base-url", "http://127.0.0.1:9", code=1)
    assert body["errors"][0]["code"] == "connection_refused"


def test_unknown_clients_are_refused_before_anything_is_asked(capfd: Capture) -> None:
    assert (
        connected(capfd, "emacs", "--base-url", "http://127.0.0.1:9", code=2)["errors"][0]["code"] == "unknown_client"
    )


def test_a_client_that_is_run(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    data = connected(capfd, "openai-python", "--base-url", fake.url, "--test")["data"]
    assert (data["test"]["ran"], data["test"]["ok"]) == (True, True)
    assert "Hello" in data["test"]["said"]
    asked = fake.requests[-1]
    assert (asked.json["model"], asked.headers["authorization"]) == ("tiny", f"Bearer {KEY}")


def test_a_client_that_is_refused(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes["/v1/chat/completions"] = error(400, f"no such thing as {KEY}")
    body = connected(capfd, "openai-python", "--base-url", fake.url, "--api-key", KEY, "--test", code=1)
    (fault,) = body["errors"]
    assert fault["code"] == "client_failed"
    assert "no such thing as ***" in fault["data"]["said"]
    assert KEY not in json.dumps(body)


def test_a_client_that_is_not_installed(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Capture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    body = connected(capfd, "aider", "--base-url", fake.url, "--test", code=2)
    assert body["errors"][0]["code"] == "client_missing"
    assert "pip install aider-install" in body["errors"][0]["message"]
    assert body["data"]["text"], "the text is there all the same"


def test_a_client_with_a_file_gets_a_private_folder(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Capture
) -> None:
    program = tmp_path / "llm"
    program.write_text(
        f"#!{sys.executable}\nimport os, pathlib, stat\n"
        "folder = pathlib.Path(os.environ['LLM_USER_PATH'])\n"
        "print(folder, *(f'{p.name} {stat.S_IMODE(p.stat().st_mode):o}' for p in sorted(folder.iterdir())))\n"
        "print((folder / 'extra-openai-models.yaml').read_text().splitlines()[0])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = connected(capfd, "llm", "--base-url", fake.url, "--api-key", KEY, "--test")["data"]["test"]["said"]
    folder, rest = said.split(" ", 1)
    assert rest.splitlines() == ["extra-openai-models.yaml 600 keys.json 600", "- model_id: llmserve"]
    assert not Path(folder).exists()
