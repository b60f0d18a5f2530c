"""Tokens out of an answer's bytes, each with the stamp of the read that completed its event.

Runs after the bytes were stored. Most events of a stream differ in their text alone: they are matched against the last
one that was parsed (:class:`Template`) and parsed only where that fails.
"""

from __future__ import annotations

from array import array
from typing import Any

from llmserve.bench.records import Kind
from llmserve.endpoint import error_body, sse, wire
from llmserve.endpoint.types import Delta, ToolFragment, Usage

__all__ = ["Decoder", "InStreamError"]

MAX_EVENT = sse.MAX_EVENT
_KEYS: dict[str, dict[Kind, bytes]] = {
    "chat": {"content": b'"content":', "reasoning": b'"reasoning_content":'},
    "completions": {"content": b'"text":'},
    "responses": {"content": b'"delta":'},
}


_ONE = array("f", [1.0])


class InStreamError(Exception):
    """The server reported an error inside a stream; the message is its own."""


class Template:
    """An event whose text may vary: what stands before and after it."""

    __slots__ = ("after", "before", "kind", "shortest")

    def __init__(self, kind: Kind, before: bytes, after: bytes) -> None:
        self.kind = kind
        self.before = before
        self.after = after
        self.shortest = len(before) + len(after)

    @classmethod
    def of(cls, event: bytes, key: bytes, kind: Kind, text: str) -> Template | None:
        """The template of ``event``, which was found to hold ``text`` after ``key``; None if that is ambiguous."""
        if event.count(key) != 1 or not text.isascii():
            return None
        start = event.find(b'"', event.find(key) + len(key)) + 1
        end = start + len(text)
        if event[start:end] != text.encode() or event[end : end + 1] != b'"' or "\\" in text or '"' in text:
            return None
        return cls(kind, event[:start], event[end:])


class Decoder:
    """One answer. Feed it body bytes with their stamps, then :meth:`finish`; read what it gathered.

    ``times`` and ``tokens`` have an item for each event with text: its stamp, and its tokens (1 unless the server
    says more with a running usage). ``text`` is kept only if ``keep_text``: a next turn needs it.
    """

    def __init__(self, api: str, *, keep_text: bool = False) -> None:
        self.api = api
        self.times = array("q")
        self.tokens = array("f")
        self.first_kind: Kind | None = None
        self.answer_ns: int | None = None
        self.finish_reason: str | None = None
        self.done = False
        self.usage: Usage | None = None
        self.coalesced = 0  # feeds that held several events with text
        self.text: list[str] | None = [] if keep_text else None
        self.streamed = True
        self._keys = _KEYS.get(api, {})
        self.template: Template | None = None
        self._rest = b""
        self._parser: sse.Parser | None = None
        self._counted = 0
        self.stamp = 0

    def feed(self, data: bytes, stamp: int) -> None:
        """Take body bytes that had arrived by ``stamp`` (nanoseconds).

        Raises:
            InStreamError: the server says that it failed.
            ValueError: what came is no event stream of JSON.
        """
        before = len(self.times)
        if self._parser is None and b"\r" not in data:
            self._split(data, stamp)
        else:
            self._carefully(data, stamp)
        if len(self.times) > before + 1:
            self.coalesced += 1

    @property
    def between(self) -> bool:
        """Whether the last byte fed was the last of an event."""
        return self._parser is None and not self._rest

    def plain_tokens(self, stamps: array[int]) -> None:
        """Events of one token each, which the template matched; text is not kept of them."""
        known = self.template
        if stamps and known:
            self.times.extend(stamps)
            self.tokens.extend(_ONE * len(stamps))
            self.stamp = stamps[-1]
            self.first_kind = self.first_kind or known.kind
            if self.answer_ns is None and known.kind == "content":
                self.answer_ns = stamps[0]

    def arrived(self, stamp: int) -> None:
        """Bytes of a body that is no stream are there."""
        self.stamp = stamp

    def finish(self) -> None:
        """The body has ended: an event without its blank line counts, as some servers leave one."""
        if self._parser:
            last = self._parser.end()
            if last:
                self._payload(last.data.encode(), self.stamp)
        elif self._rest.strip():
            self._event(self._rest.rstrip(b"\n"), self.stamp)
        self._rest = b""

    def _split(self, data: bytes, stamp: int) -> None:
        self.stamp = stamp
        if not self._rest and data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2:  # one event, whole
            self._event(data[:-2], stamp)
            return
        *events, rest = (self._rest + data).split(b"\n\n")
        self._rest = rest
        if len(rest) > MAX_EVENT:
            raise ValueError("an event is too long")
        for event in events:
            if event:
                self._event(event, stamp)

    def _carefully(self, data: bytes, stamp: int) -> None:
        """Streams with carriage returns go through the parser of the whole specification."""
        self.stamp = stamp
        if self._parser is None:
            self._parser = sse.Parser()
            data, self._rest = self._rest + data, b""
        for event in self._parser.feed(data):
            self._payload(event.data.encode(), stamp)

    def _event(self, event: bytes, stamp: int) -> None:
        known = self.template
        if (
            known is not None
            and len(event) > known.shortest
            and event.startswith(known.before)
            and event.endswith(known.after)
        ):
            text = event[len(known.before) : len(event) - len(known.after)]
            if b'"' not in text and b"\\" not in text:
                self._token(known.kind, text.decode("utf-8", "replace") if self.text is not None else "", stamp, 1.0)
                return
        if event.startswith(b"data: ") and b"\n" not in event:
            self._payload(event[6:], stamp, event)
            return
        lines = (line.partition(b":") for line in event.lstrip(b"\n").split(b"\n"))
        said = [value.removeprefix(b" ") for name, _, value in lines if name == b"data"]
        if said:
            self._payload(b"\n".join(said), stamp)

    def _payload(self, payload: bytes, stamp: int, event: bytes | None = None) -> None:
        if payload.strip() == b"[DONE]":
            self.done = True
            return
        data = wire.load(payload)
        if not isinstance(data, dict):
            raise ValueError("an event is no JSON object")
        if data.get("error") or data.get("object") == "error" or data.get("type") == "error":
            raise InStreamError(error_body.of_object(data).message or "an error without a message")
        pieces = responses_pieces(data) if self.api == "responses" else self._pieces(data)
        self._take(pieces, stamp, event)

    def _pieces(self, data: dict[str, Any]) -> list[Delta | Usage]:
        return completions_pieces(data) if self.api == "completions" else wire.chunk(data)

    def _take(self, pieces: list[Delta | Usage], stamp: int, event: bytes | None) -> None:
        usage = next((piece for piece in pieces if isinstance(piece, Usage)), None)
        for piece in pieces:
            if isinstance(piece, Delta):
                self._delta(piece, stamp, usage)
                if event and len(pieces) == 1 and not piece.finish_reason:
                    self._learn(piece, event)
        if usage:
            self.usage = usage

    def _delta(self, delta: Delta, stamp: int, usage: Usage | None) -> None:
        kind: Kind | None = (
            "reasoning" if delta.reasoning else "tool" if delta.tool_calls else "content" if delta.content else None
        )
        if kind:
            tokens = 1.0
            if usage and usage.completion is not None:  # a running usage says how many tokens this chunk holds
                tokens, self._counted = float(max(usage.completion - self._counted, 0)), usage.completion
            self._token(kind, delta.content, stamp, tokens)
            if delta.content and kind != "content" and self.answer_ns is None:
                self.answer_ns = stamp
        if delta.finish_reason:
            self.finish_reason = delta.finish_reason

    def _token(self, kind: Kind, text: str, stamp: int, tokens: float) -> None:
        self.times.append(stamp)
        self.tokens.append(tokens)
        if self.first_kind is None:
            self.first_kind = kind
        if self.answer_ns is None and kind == "content":
            self.answer_ns = stamp
        if self.text is not None:
            self.text.append(text)

    def _learn(self, delta: Delta, event: bytes) -> None:
        kind: Kind = "reasoning" if delta.reasoning else "content"
        text = delta.reasoning or delta.content
        plain = bool(text) and not (delta.reasoning and delta.content) and not delta.tool_calls and not delta.index
        key = self._keys.get(kind)
        learnt = Template.of(event, key, kind, text) if plain and key else None
        self.template = learnt or self.template

    def whole(self, data: Any, stamp: int) -> None:
        """An answer that was no stream: one body of JSON, all of whose tokens came with its end.

        Raises:
            InStreamError: it is an error.
            ValueError: it is no answer of this API.
        """
        self.streamed = False
        if not isinstance(data, dict):
            raise ValueError("the answer is no JSON object")
        if data.get("error") or data.get("object") == "error":
            raise InStreamError(error_body.of_object(data).message or "an error without a message")
        if self.api == "embeddings":
            self.usage = _embedding(data)
            self.finish_reason = "stop"
            return
        pieces = responses_pieces({"type": "response.completed", "response": data}) + _said(data) \
            if self.api == "responses" else self._pieces(data)  # fmt: skip
        self._take(pieces, stamp, None)


def completions_pieces(data: dict[str, Any]) -> list[Delta | Usage]:
    """The pieces of a ``text_completion``, streamed or whole: choices with ``text`` instead of a delta."""
    choices = [
        {**choice, "delta": {"content": choice.get("text")}}
        for choice in data.get("choices") or []
        if isinstance(choice, dict)
    ]
    return wire.chunk({**data, "choices": choices})


def responses_pieces(data: dict[str, Any]) -> list[Delta | Usage]:
    """The pieces of one event of the responses API.

    Raises:
        InStreamError: the response failed.
    """
    kind, delta = str(data.get("type", "")), data.get("delta")
    if kind == "response.failed":
        raise InStreamError(error_body.of_object(data.get("response")).message or "the response failed")
    if kind.endswith(".delta") and isinstance(delta, str):
        if "reasoning" in kind:
            return [Delta(reasoning=delta)]
        if "arguments" in kind or "input" in kind:
            return [Delta(tool_calls=(ToolFragment(arguments=delta),))] if delta else []
        return [Delta(content=delta)]
    response = data.get("response")
    if kind in ("response.completed", "response.incomplete") and isinstance(response, dict):
        said = response.get("usage") or {}
        usage = {"prompt_tokens": said.get("input_tokens"), "completion_tokens": said.get("output_tokens"),
                 "prompt_tokens_details": said.get("input_tokens_details"),
                 "completion_tokens_details": said.get("output_tokens_details")}  # fmt: skip
        reason = "stop" if kind == "response.completed" else "length"
        return [Delta(finish_reason=reason), *wire.chunk({"usage": usage})]
    return []


def _said(response: dict[str, Any]) -> list[Delta | Usage]:
    output = [item for item in response.get("output") or [] if isinstance(item, dict)]
    parts = [part for item in output for part in item.get("content") or [] if isinstance(part, dict)]
    return [Delta(content=str(part.get("text") or "")) for part in parts]


def _embedding(data: dict[str, Any]) -> Usage | None:
    if not isinstance(data.get("data"), list) or not data["data"]:
        raise ValueError("the answer holds no embedding")
    pieces = wire.chunk({"usage": {"completion_tokens": 0, **(data.get("usage") or {})}})
    return next((piece for piece in pieces if isinstance(piece, Usage)), None)
