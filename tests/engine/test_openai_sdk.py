"""The openai SDK and curl, used as OpenAI's documentation shows, against both real engines."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import openai
import pytest
from openai import OpenAI

HELLO: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(server: dict[str, Any]) -> OpenAI:
    return OpenAI(base_url=server["url"], api_key="EMPTY", max_retries=0, timeout=120)


@pytest.fixture
def model(server: dict[str, Any]) -> str:
    return str(server["model"])


def test_chat(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.usage
    assert 1 <= answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_streamed_with_usage(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert text
    assert len(finishes) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens >= 1


def test_the_sdks_own_stream_helper(client: OpenAI, model: str) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    with client.chat.completions.stream(model=model, messages=HELLO, max_tokens=512, response_format=wanted) as stream:
        final = stream.get_final_completion()
    assert isinstance(json.loads(final.choices[0].message.content or "")["ok"], bool)


def test_completions(client: OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8)
    assert answer.choices[0].text
    assert answer.usage


def test_models(client: OpenAI, model: str) -> None:
    assert model in [entry.id for entry in client.models.list()]


def test_a_json_schema_is_enforced(client: OpenAI, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "colour": {"type": "string", "enum": ["red", "green"]}},
        "required": ["ok", "colour"],
        "additionalProperties": False,
    }
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=200, response_format=wanted)
    body = json.loads(answer.choices[0].message.content or "")
    assert isinstance(body["ok"], bool)
    assert body["colour"] in ("red", "green")


def test_greedy_answers_repeat(client: OpenAI, model: str) -> None:
    texts = {
        client.chat.completions.create(model=model, messages=HELLO, max_tokens=12, temperature=0)
        .choices[0]
        .message.content
        for _ in range(2)
    }
    assert len(texts) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_as_the_documentation_shows(server: dict[str, Any]) -> None:
    body = json.dumps({"model": server["model"], "messages": HELLO, "max_tokens": 4})
    done = subprocess.run(
        ["curl", "-sS", f"{server['url']}/chat/completions", "-H", "Content-Type: application/json",
         "-H", "Authorization: Bearer EMPTY", "-d", body],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout)["choices"][0]["message"]["role"] == "assistant"


def test_a_key_is_required_when_one_is_set(locked_server: dict[str, Any]) -> None:
    key = locked_server["cli"].env["LLMSERVE_API_KEY"]
    for wrong in ("EMPTY", key + "x"):
        with pytest.raises(openai.AuthenticationError):
            OpenAI(base_url=locked_server["url"], api_key=wrong, max_retries=0).models.list()
    right = OpenAI(base_url=locked_server["url"], api_key=key, max_retries=0, timeout=120)
    answer = right.chat.completions.create(model=locked_server["model"], messages=HELLO, max_tokens=4)
    assert answer.choices[0].message.content is not None
