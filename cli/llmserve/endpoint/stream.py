"""The bytes of a streamed answer to typed events; whatever goes wrong on the way becomes an error, never silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llmserve.endpoint import sse, wire  # what only a failure needs is imported by the failure
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.types import Delta, StreamEnd, StreamEvent, Usage
from llmserve.errors import LlmserveError

__all__ = ["read", "refused"]

_HEAD = 1024**2


def read(chunks: Iterable[bytes], endpoint: Endpoint, *, model: str = "") -> Iterator[StreamEvent]:
    """Deltas and usage as they come, then one :class:`StreamEnd`.

    ``chunks`` may be cut anywhere, and ends where the connection did.

    Raises:
        LlmserveError: ``stream_cut`` (it stopped before its end), ``bad_stream`` (these are no events), or what
            :mod:`llmserve.endpoint.refusals` makes of an error that the server put into the stream.
    """
    reader = _Reader(endpoint, model)
    for chunk in chunks:
        yield from reader.feed(chunk)
        if reader.done:
            break
    yield from reader.end()


def refused(endpoint: Endpoint, data: dict[str, Any], model: str) -> LlmserveError:
    """What an error object means that came with status 200."""
    from llmserve.endpoint import refusals
    from llmserve.endpoint.error_body import of_object

    error = of_object(data)
    return refusals.explain(refusals.Refusal(endpoint=endpoint, error=error, status=error.status, model=model))


class _Reader:
    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.done = False
        self._endpoint = endpoint
        self._model = model
        self._parser = sse.Parser()
        self._head = bytearray()  # kept until the first event, in case this is no stream at all
        self._started = False
        self._finish_reason: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Delta | Usage]:
        if not self._started and len(self._head) < _HEAD:
            self._head += chunk
        try:
            for event in self._parser.feed(chunk):
                yield from self._take(event)
                if self.done:
                    return
        except sse.TooLongError as error:
            raise self._bad(str(error)) from error

    def end(self) -> Iterator[StreamEvent]:
        if not self.done:
            yield from self._leftover()
        if not self._started:
            yield from self._not_a_stream()
        if not self.done and self._finish_reason is None:
            raise LlmserveError(
                f"{self._endpoint.base_url} stopped before the end of its answer.",
                hint="The server may have died or been stopped: see its log, then ask again.", code="stream_cut",
            )  # fmt: skip
        yield StreamEnd(finish_reason=self._finish_reason, done=self.done)

    def _leftover(self) -> Iterator[Delta | Usage]:
        """A last event without its blank line: taken if it is whole, else it is the cut."""
        event = self._parser.end()
        if event is None:
            return
        try:
            yield from self._take(event)
        except LlmserveError as error:
            if error.code != "bad_stream":
                raise

    def _take(self, event: sse.Event) -> Iterator[Delta | Usage]:
        text = event.data.strip()
        self._started = self._started or bool(text)
        if text == "[DONE]":
            self.done = True
        elif text:
            yield from self._pieces(self._json(text, event.event), event.event)

    def _json(self, text: str, kind: str) -> dict[str, Any]:
        try:
            data = wire.load(text)
        except ValueError as error:
            if kind == "error":
                return {"error": text}
            raise self._bad("an event is not JSON") from error
        if isinstance(data, dict):
            return data
        return {"error": data} if kind == "error" else {}

    def _pieces(self, data: dict[str, Any], kind: str) -> Iterator[Delta | Usage]:
        if kind == "error" or data.get("error") or data.get("object") == "error":
            raise refused(self._endpoint, data, self._model)
        for piece in wire.chunk(data):
            yield piece
            if isinstance(piece, Delta) and piece.finish_reason:
                self._finish_reason = piece.finish_reason
        if self._finish_reason == "error":
            raise refused(self._endpoint, {"error": "its finish reason is 'error'"}, self._model)

    def _not_a_stream(self) -> Iterator[Delta | Usage]:
        """A server that does not stream answers with the whole object; anything else is a fault."""
        try:
            data = wire.load(self._head.decode("utf-8", "replace"))
        except ValueError as error:
            if not self._head.strip():
                return
            from llmserve.endpoint.error_body import parse

            said = parse(bytes(self._head[:4096])).message[:120]
            raise self._bad(f"it sent {said!r}") from error
        if isinstance(data, dict) and (data.get("error") or data.get("object") == "error" or "detail" in data):
            raise refused(self._endpoint, data, self._model)
        if not isinstance(data, dict) or wire.completion(data) is None:
            raise self._bad("it sent JSON that is no answer")
        self.done = True
        yield from self._pieces(data, "message")

    def _bad(self, why: str) -> LlmserveError:
        return LlmserveError(
            f"{self._endpoint.base_url} did not answer with an event stream: {why}.",
            hint="Is this the base URL of an OpenAI-compatible API?", code="bad_stream",
        )  # fmt: skip
