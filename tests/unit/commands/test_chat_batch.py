"""``llmserve chat --jsonl`` and ``--schema``: programs use these, so order, resuming and exit codes are promises."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llmserve.app import run
from llmserve.chat.batch.requests import requests
from llmserve.errors import UsageError
from tests.fakes.endpoint import FakeEndpoint, Reply, Seen, completion, error, models, stream

CHAT = "/v1/chat/completions"
Capture = pytest.CaptureFixture[str]


def echo(seen: Seen) -> Reply:
    """Answers with the question."""
    return completion(str(seen.json["messages"][-1]["content"]))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def said(line: Any) -> str:
    return str(line["response"]["body"]["choices"][0]["message"]["content"])


@pytest.fixture(autouse=True)
def _nothing_is_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{number}"}) + "\n" for number in range(30)))
    return path


def test_every_shape_of_a_line() -> None:
    body = {"messages": [{"role": "user", "content": "c"}], "stream": True}
    given = ['"a"', "", '{"prompt": "b", "seed": 1}', json.dumps(body),
             json.dumps({"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}),
             '{"custom_id": "y", "prompt": "d"}']  # fmt: skip
    made = list(requests(given, {"model": "m", "seed": 7}, "S"))
    assert [request.id for request in made] == ["request-1", "request-3", "request-4", "x", "y"]
    assert [request.body["messages"][-1]["content"] for request in made] == ["a", "b", "c", "c", "d"]
    assert [request.body["seed"] for request in made] == [7, 1, 7, 7, 7]
    assert all(request.body["messages"][0] == {"role": "system", "content": "S"} for request in made)
    assert all("stream" not in request.body for request in made)


@pytest.mark.parametrize("line", ["nonsense", "3", "{}", '{"messages": []}', '{"prompt": 3}', "[" * 100_000])
def test_lines_that_are_no_request(line: str) -> None:
    with pytest.raises(UsageError, match="Line 2"):
        list(requests(['"a"', line], {}, None))


def test_order_is_kept_whatever_finishes_first(source: Path, tmp_path: Path) -> None:
    last = threading.Event()

    def first_is_last(seen: Seen) -> Reply:
        question = seen.json["messages"][-1]["content"]
        if question == "q0":
            assert last.wait(30), "the others go on meanwhile"
        if question == "q6":
            last.set()
        return echo(seen)

    out = tmp_path / "out.jsonl"
    with FakeEndpoint({CHAT: first_is_last, "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "--jsonl", str(source), "-o", str(out), "--concurrency", "2"]) == 0
    assert [said(line) for line in lines(out)] == [f"q{number}" for number in range(30)]
    assert lines(out)[4]["custom_id"] == "request-5"


def test_stdout_without_a_file(source: Path, capfd: Capture) -> None:
    with FakeEndpoint({CHAT: echo, "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "--jsonl", str(source), "-q"]) == 0
    out, err = capfd.readouterr()
    assert [said(json.loads(line)) for line in out.splitlines()] == [f"q{number}" for number in range(30)]
    assert err == ""


def test_an_interrupted_batch_goes_on_where_it_stopped(source: Path, tmp_path: Path, capfd: Capture) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["--jsonl", str(source), "-o", str(out), "--concurrency", "1"]
    dying = [completion(f"q{number}") for number in range(12)]
    with FakeEndpoint({CHAT: [*dying, error(401, "expired")], "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, *arguments]) == 4
    assert "goes on from there" in capfd.readouterr().err
    assert len(lines(out)) == 12, "what would fail alike is kept for the next run"
    with out.open("a") as file:
        file.write('{"custom_id": "request-13", "respo')
    with FakeEndpoint({CHAT: echo, "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, *arguments, "--json"]) == 0
        assert len(fake.requests) == 18 + 1
    data = json.loads(capfd.readouterr().out)["data"]
    assert (data["answered"], data["failed"], data["skipped"]) == (18, 0, 12)
    assert [said(line) for line in lines(out)] == [f"q{number}" for number in range(30)]


def test_an_output_of_another_batch_is_not_touched(source: Path, tmp_path: Path, capfd: Capture) -> None:
    out = tmp_path / "out.jsonl"
    for text, sentence in (('{"custom_id": "z"}\n', "another batch"), ("notes\n", "something else than answers")):
        out.write_text(text)
        with FakeEndpoint({CHAT: echo, "/v1/models": models("tiny")}) as fake:
            assert run(["chat", "--base-url", fake.url, "--jsonl", str(source), "-o", str(out)]) == 2
        assert sentence in capfd.readouterr().err
        assert out.read_text() == text


def test_a_refused_line_is_an_error_in_its_place(tmp_path: Path, capfd: Capture) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('"a"\n"b"\n"c"\n')

    def picky(seen: Seen) -> Reply:
        return error(400, "not this") if seen.json["messages"][-1]["content"] == "b" else echo(seen)

    with FakeEndpoint({CHAT: picky, "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "--jsonl", str(source)]) == 1
    out, err = capfd.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["error"] and answer["error"]["code"] for answer in answers] == [None, "bad_request", None]
    assert "2 answered, 1 failed." in err


def test_a_batch_waits_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    waited: list[float] = []
    monkeypatch.setattr("llmserve.chat.batch.run.pause", waited.append)
    source = tmp_path / "in.jsonl"
    source.write_text('"a"\n')
    replies = [error(429, "slow", **{"Retry-After": "3"}), completion("A")]
    with FakeEndpoint({CHAT: replies, "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "--jsonl", str(source)]) == 0
    assert waited == [3.0]
    assert said(json.loads(capfd.readouterr().out)) == "A"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--jsonl", "/no/such"], "/no/such cannot be read"),
        (["-m", "hi", "-o", "x"], "-o goes with --jsonl"),
        (["-m", "hi", "--schema", "/no/such"], "/no/such cannot be read"),
        (["-m", "hi", "--set", "top_p"], "--set wants FIELD=VALUE"),
        (["-m", "hi", "--continue", "--session", "x"], "name two conversations"),
        (["-m", "hi", "--continue"], "There is no earlier conversation"),
        (["-m", "hi", "--session", "../x"], "no name for a conversation"),
        (["-m", "hi", "--image", "/no/such"], "/no/such cannot be read"),
        (["-m", "hi", "--tools", "/no/such.py"], "is no Python file"),
    ],
)
def test_wrong_wishes(arguments: list[str], says: str, capfd: Capture) -> None:
    with FakeEndpoint({CHAT: stream("x"), "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, *arguments]) == 2
    assert says in capfd.readouterr().err


SCHEMA = {"title": "A person!", "type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ('{"age": 3}', 0, ""),
        ('{"age": "x"}', 1, "does not follow the schema at $.age"),
        ("{}", 1, "'age' is a required property"),
        ("Sure! {}", 1, "The answer is no JSON"),
    ],
)
def test_schema(answer: str, code: int, says: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    with FakeEndpoint({CHAT: stream(answer), "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "-m", "hi", "--schema", str(tmp_path / "s.json")]) == code
        asked = fake.requests[-1].json["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "A_person_", "schema": SCHEMA, "strict": True}}
    out, err = capfd.readouterr()
    assert out == f"{answer}\n"
    assert says in err


@pytest.mark.parametrize("text", ["{", '{"type": 3}', "[]"])
def test_a_file_that_is_no_schema(text: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "s.json").write_text(text)
    assert run(["chat", "--base-url", "h:1", "-m", "hi", "--schema", str(tmp_path / "s.json")]) == 2
    assert "s.json is no JSON" in capfd.readouterr().err


def test_schema_as_json_gives_the_value(tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    with FakeEndpoint({CHAT: stream('{"age": 3}'), "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "-m", "hi", "--schema", str(tmp_path / "s.json"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["data"]["value"] == {"age": 3}


def test_named_conversations_go_on(capfd: Capture) -> None:
    with FakeEndpoint({CHAT: [stream("A."), stream("B."), stream("C.")], "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "-m", "a", "--session", "work"]) == 0
        assert run(["chat", "--base-url", fake.url, "-m", "b", "--session", "work"]) == 0
        assert run(["chat", "--base-url", fake.url, "-m", "c", "--continue"]) == 0
        assert [message["content"] for message in fake.requests[-1].json["messages"]] == ["a", "A.", "b", "B.", "c"]
    capfd.readouterr()
    assert run(["chat", "sessions", "--json"]) == 0
    (listed,) = json.loads(capfd.readouterr().out)["data"]["sessions"]
    assert (listed["name"], listed["questions"], listed["title"]) == ("work", 3, "a")
    assert run(["chat", "sessions"]) == 0
    assert capfd.readouterr().out.splitlines()[1].startswith("work   ")
    assert run(["chat", "sessions", "--remove", "work", "-q"]) == 0
    assert run(["chat", "sessions", "--remove", "work"]) == 2
    assert run(["chat", "sessions"]) == 0
    assert "No conversation was kept yet" in capfd.readouterr().err


def test_message_from_stdin_alone(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\n")))
    with FakeEndpoint({CHAT: stream("A."), "/v1/models": models("tiny")}) as fake:
        assert run(["chat", "--base-url", fake.url, "-m", "-"]) == 0
        assert fake.requests[-1].json["messages"][-1]["content"] == "from a pipe"
    assert capfd.readouterr().out == "A.\n"
