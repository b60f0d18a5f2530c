"""``llmserve chat`` from the command line to stdout, stderr and the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmserve import paths
from llmserve.app import run
from llmserve.chat.once import once
from llmserve.chat.session import Session
from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.output import Output
from tests.fakes.endpoint import CUT, FakeEndpoint, Reply, Route, chunk, error, event, models, stream, usage

CHAT = "/v1/chat/completions"
Capture = pytest.CaptureFixture[str]
Piped = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "LLMSERVE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Piped:
    def pipe(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))

    pipe(b"")
    return pipe


@pytest.fixture
def fake(piped: Piped) -> Iterator[FakeEndpoint]:
    with FakeEndpoint({"/v1/models": models("tiny"), CHAT: stream("Hel", "lo", tokens=usage(3, 2))}) as fake:
        yield fake


def said(fake: FakeEndpoint) -> str:
    content = fake.requests[-1].json["messages"][-1]["content"]
    assert isinstance(content, str)
    return content


def test_message(fake: FakeEndpoint, capfd: Capture) -> None:
    assert run(["chat", "--base-url", fake.host, "-m", "hi"]) == 0
    assert capfd.readouterr() == ("Hello\n", "")
    assert fake.requests[-1].json == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_options_reach_the_request(fake: FakeEndpoint) -> None:
    options = ["--model", "m", "--system", "be brief", "--max-tokens", "5", "--temperature", "0"]
    assert run(["chat", "--base-url", fake.url, "--api-key", "sk-1", "-m", "hi", *options]) == 0
    (request,) = fake.requests  # with --model nothing is listed
    body = request.json
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 5, 0.0)
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert request.headers["authorization"] == "Bearer sk-1"


def test_environment(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert run(["chat", "-m", "hi"]) == 0
    assert fake.requests[0].headers["authorization"] == "Bearer sk-env"
    assert capfd.readouterr().out == "Hello\n"


def test_piped_text_follows_the_message(fake: FakeEndpoint, piped: Piped) -> None:
    piped("a réd file\n".encode())
    assert run(["chat", "--base-url", fake.url, "-m", "summarise"]) == 0
    assert said(fake) == "summarise\n\na réd file"


def test_piped_text_alone_is_the_question(fake: FakeEndpoint, piped: Piped, capfd: Capture) -> None:
    piped(b"why?\n")
    assert run(["chat", "--base-url", fake.url]) == 0
    assert said(fake) == "why?"
    assert capfd.readouterr().out == "Hello\n"


def test_bytes_that_are_no_text_do_no_harm(fake: FakeEndpoint, piped: Piped) -> None:
    piped(b"a\xff\n")
    assert run(["chat", "--base-url", fake.url, "-m", "b\udcff"]) == 0
    assert said(fake) == "b\ufffd\n\na\ufffd"


@pytest.mark.parametrize("arguments", [[], ["-m", " "], ["--json"]])
def test_nothing_to_ask(fake: FakeEndpoint, capfd: Capture, arguments: list[str]) -> None:
    assert run(["chat", "--base-url", fake.url, *arguments]) == 2
    out, err = capfd.readouterr()
    assert "There is nothing to ask." in out + err
    assert fake.requests == []


def test_quiet(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes[CHAT] = stream("Hel", "lo", finish_reason="length")
    assert run(["chat", "--base-url", fake.url, "-m", "hi", "-q"]) == 0
    assert capfd.readouterr() == ("Hello\n", "")


def test_a_limit_is_said_on_stderr(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes[CHAT] = stream("Hel", finish_reason="length")
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == 0
    out, err = capfd.readouterr()
    assert out == "Hel\n"
    assert err.startswith("The answer was cut at the token limit")


def envelope(arguments: list[str], capfd: Capture) -> dict[str, Any]:
    code = run(["chat", *arguments, "--json"])
    out, err = capfd.readouterr()
    assert err == ""
    body: dict[str, Any] = json.loads(out)
    assert (body["command"], body["exit_code"]) == ("chat", code)
    return body


def test_json(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes["/v1/models"] = models("big", "small")
    fake.routes[CHAT] = Reply(
        pieces=[chunk(reasoning_content="hm"), chunk("Hel\x1b"), chunk("lo\n"), chunk(finish_reason="stop"),
                event({"choices": [], "usage": usage(3, 2, prompt_tokens_details={"cached_tokens": 1})})]
    )  # fmt: skip
    body = envelope(["--base-url", fake.url, "-m", "hi"], capfd)
    data = body["data"]
    assert 0 < data.pop("ttft_s") <= data.pop("total_s")
    assert data == {
        "model": "big",
        "message": {"role": "assistant", "content": "Hel\x1blo\n"},
        "tokens_per_s": None,
        "content": "Hel\x1blo\n",
        "reasoning": "hm",
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": 1, "reasoning_tokens": None,
        },
    }  # fmt: skip
    assert body["messages"] == ["Using the model big. Others: small; choose with --model ID."]


def test_json_of_a_cut_answer_keeps_the_text(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes[CHAT] = Reply(pieces=[chunk("Par"), chunk("tial"), CUT])
    (fault,) = envelope(["--base-url", fake.url, "-m", "hi"], capfd)["errors"]
    assert fault["code"] == "stream_cut"
    assert fault["data"]["content"] == "Partial"


@pytest.mark.parametrize(
    ("reply", "code", "sentence"),
    [
        (error(401, "no"), 4, "wants an API key (401: no)"),
        (error(403, "no"), 4, "wants an API key (403: no)"),
        (Reply(status=404, body={"detail": "Not Found"}), 1, "There is no /chat/completions"),
        (error(404, "The model 'tiny' does not exist"), 1, "does not serve the model 'tiny'"),
        (error(400, "context length exceeded"), 1, "does not fit into the model's context"),
        (error(400, "no chat template"), 1, "has no chat template"),
        (error(400, "bad"), 1, "rejected the request (400: bad)"),
        (error(429, "slow down", **{"Retry-After": "9999"}), 1, "takes no more requests for now"),
        (error(500, "boom"), 1, "failed (500: boom)"),
        (error(503, "Loading model", **{"Retry-After": "9999"}), 5, "is not ready yet"),
        (Reply(body=b"<html><title>Hi</title></html>"), 1, "did not answer with an event stream: it sent 'Hi'"),
        (Reply(pieces=[event({"error": {"message": "boom"}})]), 1, "broke off with an error (boom)"),
        (Reply(pieces=[]), 1, "stopped before the end of its answer"),
    ],
)
def test_faults(fake: FakeEndpoint, capfd: Capture, reply: Route, code: int, sentence: str) -> None:
    fake.routes[CHAT] = reply
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert sentence in err


def test_a_fault_after_some_text_leaves_the_text(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes[CHAT] = Reply(pieces=[chunk("Par"), chunk("tial"), event({"error": {"message": "boom"}})])
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == 1
    out, err = capfd.readouterr()
    assert out == "Partial\n"
    assert "broke off with an error (boom)" in err


def test_nothing_listens(piped: Piped, capfd: Capture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert run(["chat", "--base-url", f"127.0.0.1:{unused.getsockname()[1]}", "-m", "hi"]) == 1
    assert "(connection refused)" in capfd.readouterr().err


def test_no_endpoint(piped: Piped, capfd: Capture) -> None:
    assert run(["chat", "-m", "hi"]) == 2
    assert "llmserve up" in capfd.readouterr().err


def test_a_server_of_this_machine(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Capture
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-local\n")
    server = SimpleNamespace(name="mine", url=fake.url, model="tiny", state="ready", key_file=str(key))
    monkeypatch.setattr("llmserve.engine.registry.running", lambda: [server])
    paths.servers_dir().mkdir(parents=True, exist_ok=True)  # the registry is only read where there is one
    assert run(["chat", "-m", "hi"]) == 0
    assert run(["chat", "--server", "mine", "-m", "hi"]) == 0
    assert run(["chat", "--server", "other", "-m", "hi"]) == 2
    assert capfd.readouterr().out == "Hello\nHello\n"
    assert {request.headers["authorization"] for request in fake.requests} == {"Bearer sk-local"}


def test_a_profile_and_headers(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setenv("TEAM", "search")
    tables = f'[chat]\nprofile = "work"\n[profiles.work]\nbase_url = "{fake.host}/"\napi_key = "sk-w"\nmodel = "m"\n'
    paths.write_atomic(paths.config_file(), tables)
    assert run(["chat", "-m", "hi", "--header", "X-Team: ${TEAM}"]) == 0
    assert run(["chat", "-m", "hi", "--base-url", fake.url]) == 0, "a flag wins over what is only a setting"
    assert run(["chat", "-m", "hi", "--base-url", fake.url, "--profile", "work"]) == 2
    assert "--base-url and --profile name two endpoints" in capfd.readouterr().err
    first, *_, last = fake.requests
    assert (first.headers["authorization"], first.headers["x-team"]) == ("Bearer sk-w", "search")
    assert first.json["model"] == "m"
    assert "authorization" not in last.headers


def test_models_that_the_endpoint_does_not_list(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes["/v1/models"] = models()
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == 1
    assert "--model" in capfd.readouterr().err


def test_control_characters_reach_no_terminal(fake: FakeEndpoint, capfd: Capture) -> None:
    fake.routes[CHAT] = stream("a\x1b", "]0;title\x07", "\x9b2J", "b\r\n")
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == 0
    fake.routes[CHAT] = error(400, "evil \x1b[2Jsentence")
    assert run(["chat", "--base-url", fake.url, "-m", "hi"]) == 1
    out, err = capfd.readouterr()
    assert out == "ab\n"
    assert "evil sentence" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_figures_and_thoughts_go_to_a_terminal_on_stderr(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    thinking = [chunk(reasoning="hm"), chunk("Yes."), chunk(finish_reason="stop")]
    fake.routes[CHAT] = Reply(pieces=[*thinking, event({"choices": [], "usage": usage(3, 2)})])
    out, err = io.StringIO(), Terminal()
    output = Output("human", "chat", out=out, err=err)
    with Client(Endpoint(base_url=fake.url)) as client:
        output.show(once(Session(client, "tiny"), "hi", output, ("A note.",)))
    assert out.getvalue() == "Yes.\n"
    note, thought, figures = err.getvalue().splitlines()
    assert (note, thought) == ("A note.", "hm")
    assert figures.startswith("TTFT ")
    assert figures.endswith("5 tokens (3 prompt, 2 answer)")


def started(fake: FakeEndpoint, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llmserve", "chat", "--base-url", fake.url, "-m", "hi", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **options)


def test_ctrl_c_keeps_the_text_and_closes_the_connection(fake: FakeEndpoint) -> None:
    fake.routes[CHAT] = Reply(pieces=[chunk("Par"), chunk("tial"), -1])
    # a background job of a shell ignores SIGINT, and so would its children
    process = started(fake, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout is not None
    text = os.read(process.stdout.fileno(), 100)
    while text != b"Partial":
        text += os.read(process.stdout.fileno(), 100)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, b"\n")
    assert err == b"Stopped before the end of the answer.\n"
    assert fake.hung_up.wait(5)


def test_a_reader_that_leaves_is_no_error(fake: FakeEndpoint) -> None:
    fake.routes[CHAT] = Reply(pieces=[chunk("a"), 0.3, chunk("b"), chunk("c"), chunk(finish_reason="stop")])
    process = started(fake)
    assert process.stdout is not None
    assert process.stderr is not None
    assert os.read(process.stdout.fileno(), 100) == b"a"
    process.stdout.close()
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(10) == 0
