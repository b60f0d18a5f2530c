"""Servers that llmserve did not start: found at their usual ports, whatever else listens there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from llmserve.endpoint import usual_ports
from llmserve.endpoint.find import find
from llmserve.endpoint.usual_ports import Listener, listeners
from llmserve.errors import UsageError
from tests.fakes.endpoint import FakeEndpoint, Reply, error, models


def port(fake: FakeEndpoint) -> int:
    return urlsplit(fake.url).port or 0


@contextmanager
def serving(*replies: Reply) -> Iterator[list[FakeEndpoint]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FakeEndpoint({"/v1/models": reply})) for reply in replies]


def found(*replies: Reply) -> list[Listener]:
    with serving(*replies) as fakes:
        return listeners([(str(number), port(fake)) for number, fake in enumerate(fakes)])


def test_all_are_found_in_order() -> None:
    with serving(models("a", "b"), Reply(status=404), models("c")) as fakes:
        named = [("x", port(fakes[0])), ("y", port(fakes[1])), ("z", port(fakes[2]))]
        assert listeners(named) == [
            Listener(usual="x", url=fakes[0].url, models=("a", "b")),
            Listener(usual="z", url=fakes[2].url, models=("c",)),
        ]
    assert "authorization" not in fakes[0].requests[0].headers


def test_a_server_that_wants_a_key_is_one() -> None:
    (only,) = found(error(401, "no"))
    assert only.locked
    assert only.models == ()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500),
        Reply(body=b"<html>hello</html>"),
        Reply(body={"models": []}),
        Reply(body=[1]),
        Reply(body=b"{" * 100_000),
        Reply(body=b""),
    ],
)
def test_what_is_no_such_api_is_left_out(reply: Reply) -> None:
    assert found(reply) == []


def test_ports_where_nobody_listens_or_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_ports, "_ANSWER", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ports = [("silent", silent.getsockname()[1]), ("nobody", unused.getsockname()[1])]
        assert listeners(ports) == []


def test_the_first_that_serves_a_model_is_taken_and_said() -> None:
    at = [Listener(usual="SGLang", url="http://h:1/v1"), Listener(usual="Ollama", url="http://h:2/v1", models=("a",))]
    endpoint = find(listening=lambda: at, environ={"OPENAI_API_KEY": "sk-of-another-place"})
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://h:2/v1", None, None)
    (note,) = endpoint.notes
    assert "http://h:2/v1, which answers at the usual port of Ollama." in note
    assert "Others: http://h:1/v1; choose with --base-url." in note


def test_nobody_is_asked_without_need() -> None:
    def fail() -> list[Listener]:
        raise AssertionError

    assert find("h:1", listening=fail, environ={}).base_url == "http://h:1/v1"
    with pytest.raises(UsageError):
        find(server="x", listening=fail, environ={})


def test_a_sentence_says_how() -> None:
    with pytest.raises(UsageError) as caught:
        find(listening=list, environ={})
    assert "usual ports" in caught.value.message
    assert all(word in (caught.value.hint or "") for word in ("llmserve up", "--base-url", "--profile"))
