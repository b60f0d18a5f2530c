"""A conversation for other programs and for people: a request that can be sent again, code, Markdown."""

from __future__ import annotations

import json
import shlex
from typing import Any

from llmserve.chat.session import Session
from llmserve.chat.turns import text_of
from llmserve.endpoint.endpoint import Endpoint

__all__ = ["as_curl", "as_json", "as_markdown", "as_python", "next_body"]


def next_body(session: Session) -> dict[str, Any]:
    """The body that asks the last question (again), streamed."""
    request = session.request(*([session.pending] if session.pending else []))
    body = request.body(stream=True)
    if not session.pending:
        while body["messages"] and body["messages"][-1]["role"] != "user":
            body["messages"].pop()
    return body


def as_json(session: Session) -> str:
    """The whole conversation as the body of a request: ``curl -d @FILE`` goes on with it."""
    request = session.request(*([session.pending] if session.pending else []))
    return json.dumps(request.body(stream=False), ensure_ascii=False, indent=2) + "\n"


def as_markdown(session: Session) -> str:
    """The conversation to read, the thoughts folded as HTML does it."""
    blocks = [f"# {session.model}"]
    if session.system:
        blocks.append(f"> {session.system}".replace("\n", "\n> "))
    for turn in session.turns:
        blocks.append(f"## User\n\n{text_of(turn.question)}")
        thoughts = (
            f"<details><summary>Thoughts</summary>\n\n{turn.reasoning.strip()}\n\n</details>\n\n"
            if turn.reasoning
            else ""
        )
        blocks += [_reply(message, thoughts if message is turn.replies[-1] else "") for message in turn.replies]
        if turn.cut:
            blocks.append("*(cut)*")
    if session.pending:
        blocks.append(f"## User\n\n{text_of(session.pending)}")
    return "\n\n".join(blocks) + "\n"


def _reply(message: dict[str, Any], thoughts: str) -> str:
    if message["role"] == "tool":
        return f"### Result of a tool\n\n```\n{text_of(message)}\n```"
    calls = "".join(
        f"\n\n`{call['function']['name']}({call['function']['arguments']})`" for call in message.get("tool_calls", ())
    )
    return f"## Assistant\n\n{thoughts}{text_of(message)}{calls}"


def as_curl(session: Session, endpoint: Endpoint) -> str:
    """A command that asks the last question. Keys stand in it as variables."""
    lines = [f"curl -N {shlex.quote(endpoint.base_url + '/chat/completions')}", "-H 'Content-Type: application/json'"]
    if endpoint.api_key:
        lines.append('-H "Authorization: Bearer $OPENAI_API_KEY"')
    for name, value in endpoint.headers:
        shown = endpoint.redacted(value)
        lines.append(f"-H {shlex.quote(f'{name}: {shown}')}")
    body = json.dumps(next_body(session), ensure_ascii=False, indent=2)
    lines.append(f"-d {shlex.quote(body)}")
    return " \\\n  ".join(lines)


def as_python(session: Session, endpoint: Endpoint) -> str:
    """The same with the openai package."""
    body = next_body(session)
    known = ("model", "messages", "stream", "stream_options", *_OPENAI)
    own = {name: value for name, value in body.items() if name not in known}
    arguments = {name: value for name, value in body.items() if name in known}
    lines = [f"    {name}={_python(value)}," for name, value in arguments.items()]
    if own:
        lines.append(f"    extra_body={_python(own)},")
    headers = {name: endpoint.redacted(value) for name, value in endpoint.headers}
    extra = f", default_headers={headers!r}" if headers else ""
    key = "" if endpoint.api_key else ', api_key="EMPTY"'
    return "\n".join(
        [
            "from openai import OpenAI",
            "",
            f"client = OpenAI(base_url={endpoint.base_url!r}{key}{extra})"
            + ("  # the key is taken from OPENAI_API_KEY" if endpoint.api_key else ""),
            "stream = client.chat.completions.create(",
            *lines,
            ")",
            "for chunk in stream:",
            "    if chunk.choices:",
            '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
        ]
    )


_OPENAI = (
    "temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "max_completion_tokens", "seed", "n",
    "logprobs", "top_logprobs", "parallel_tool_calls", "reasoning_effort", "user", "service_tier", "verbosity",
    "response_format", "tools", "tool_choice", "stop", "logit_bias",
)  # fmt: skip


def _python(value: Any) -> str:
    from pprint import pformat

    return pformat(value, width=100, sort_dicts=False).replace("\n", "\n    ")
