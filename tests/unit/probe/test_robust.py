"""No check raises, whatever an endpoint sends: verdicts only."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Check
from llmserve.probe.checks import catalogue
from llmserve.probe.connection import Target
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.runner import judge, run
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings
from tests.fakes.wire import FOREVER, STAY, Script, wire

NOWHERE = Endpoint(base_url="http://127.0.0.1:1/v1", api_key="sk-secret-of-the-user", model="m")
CHECKS = [replace(check, allow="") for check in catalogue() if check.area != "sdk"]

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "pick", "arguments": '{"a": 1}'}}
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}]}
CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "logprobs": {"content": [TOKEN], "tokens": ["a"], "token_logprobs": [-1]},
}
MESSAGE = {"role": "assistant", "content": "one two one two", "tool_calls": [CALL], "reasoning_content": "hm"}
ITEM = {"id": "i1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one"}]}
EVERYTHING: dict[str, Any] = {
    "id": "x1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE, "data": [
        {"id": "m", "object": "model", "created": 1, "owned_by": "x", "index": 0, "embedding": [0.5, 0.25]}],
    "choices": [CHOICE | {"message": MESSAGE, "delta": MESSAGE, "text": "one two"}], "output": [ITEM],
    "type": "response.completed", "response": {"id": "r1", "status": "completed", "output": [ITEM], "usage": USAGE},
    "item": ITEM, "item_id": "i1", "output_index": 0, "content_index": 0, "delta": "one", "sequence_number": 0,
    "status": "completed", "error": None,
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, [], {}, "", "x" * 500, -1, 0, 10**30, 1.5, True, False, [None], [[]], [{}], {"a": None}, "\ud83d", "\x1b[2J",
)  # fmt: skip


class Canned:
    """Sends one answer to everything, without a network."""

    def __init__(self, body: bytes, status: int = 200, kind: str = "application/json", **fields: Any) -> None:
        self.answer = {"body": body, "status": status, "headers": (("Content-Type", kind),), **fields}

    def __call__(self, target: Target, request: Request, limits: Limits) -> Exchange:
        return Exchange(request=request, **self.answer)


def broken(transport: Any, checks: list[Check]) -> list[str]:
    """The checks that ended in an internal error."""
    session = Session(NOWHERE, Settings(wait_s=0), transport=transport, sleep=lambda _: None)
    outcomes = [judge(session, check) for check in checks]
    return [f"{one.check.id}: {one.finding.saw}" for one in outcomes if "internal error" in one.finding.saw]


def stream_of(*datas: bytes) -> bytes:
    return b"".join(b"data: " + data + b"\n\n" for data in datas)


BODIES = {
    "nothing": b"", "null": b"null", "number": b"7", "string": b'"x"', "list": b"[]", "object": b"{}",
    "nan": b'{"choices": [{"index": NaN, "message": {"content": Infinity}}], "usage": {"prompt_tokens": NaN}}',
    "deep": b"[" * 50_000 + b"]" * 50_000, "deep object": b'{"choices":' * 5_000 + b"1" + b"}" * 5_000,
    "html": b"<!doctype html><title>Log in</title>",
    "utf8": b'{"choices": "\xff\xfe"}', "number's length": b"1" * 6_000,
    "escapes": b'{"error": {"message": "\\u001b]0;owned\\u0007\\ud83d"}}', "whole": json.dumps(EVERYTHING).encode(),
}  # fmt: skip


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("name", BODIES)
def test_no_answer_makes_a_check_raise(name: str, status: int) -> None:
    assert broken(Canned(BODIES[name], status), CHECKS) == []


@pytest.mark.parametrize("name", BODIES)
def test_no_stream_makes_a_check_raise(name: str) -> None:
    body = stream_of(BODIES[name], BODIES[name], b"[DONE]")
    assert broken(Canned(body, kind="text/event-stream"), CHECKS) == []
    assert broken(Canned(BODIES[name], kind="text/event-stream"), CHECKS) == []


@pytest.mark.parametrize("error", ["timeout", "cut", "tls", "coding", "too_large", "not_http", "refused"])
def test_no_failure_makes_a_check_raise(error: str) -> None:
    assert broken(Canned(b"", error=error, detail="it broke"), CHECKS) == []
    assert broken(Canned(json.dumps(EVERYTHING).encode(), error=error), CHECKS) == []


def mutated(value: Any, chance: random.Random) -> Any:
    """A copy in which some values are replaced by odd ones, and some keys are gone."""
    if chance.random() < 0.12:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {key: mutated(item, chance) for key, item in value.items() if chance.random() > 0.05}
    return [mutated(item, chance) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(12))
def test_odd_values_anywhere_make_no_check_raise(seed: int) -> None:
    chance = random.Random(seed)
    bodies = [json.dumps(mutated(EVERYTHING, chance)).encode() for _ in range(40)]

    def transport(target: Target, request: Request, limits: Limits) -> Exchange:
        asks_stream = b'"stream":true' in request.body
        body = stream_of(*chance.sample(bodies, 4), b"[DONE]") if asks_stream else chance.choice(bodies)
        kind = "text/event-stream" if asks_stream else "application/json"
        return Canned(body, chance.choice([200, 200, 200, 400, 404]), kind)(target, request, limits)

    assert broken(transport, CHECKS) == []


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
HOSTILE: dict[str, Script] = {
    "endless stream": [HEAD, FOREVER, b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n' * 500],
    "endless line": [HEAD + b"data: ", FOREVER, b"a" * 65536],
    "endless head": [b"HTTP/1.1 200 OK\r\n", FOREVER, b"X-A: " + b"a" * 60_000 + b"\r\n"],
    "silence": [STAY],
    "silence after the head": [HEAD, STAY],
    "not http": b"\x00\x01\x02SSH-2.0\r\n",
    "wrong length": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{}",
    "login page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:9/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_endpoint_gets_its_verdicts_in_bounded_time(name: str) -> None:
    checks = [check for check in catalogue() if check.quick and check.area != "sdk"]
    with wire(HOSTILE[name]) as server:
        endpoint = Endpoint(base_url=server.url, api_key="sk-secret-of-the-user", model="m")
        session = Session(endpoint, Settings(timeout_s=0.3, wait_s=0))
        outcomes = run(session, checks)
    assert len(outcomes) == len(checks)
    assert not [one.check.id for one in outcomes if "internal error" in one.finding.saw]
    assert {one.finding.verdict for one in outcomes} != {"pass"}
    assert all(len(made.body) <= 4 * 1024**2 for made in session.exchanges)
