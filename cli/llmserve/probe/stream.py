"""A streamed answer as checks look at it: events, chunks, and what a client would put together from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llmserve.probe import sse
from llmserve.probe.answer import Answer
from llmserve.probe.check import Ended, fail, inconclusive, skipped
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, short
from llmserve.probe.strict_json import lenient

__all__ = ["Chunk", "StreamAnswer"]

DONE = "[DONE]"


@dataclass(frozen=True)
class Chunk:
    """One event whose data is JSON, as ``data``."""

    data: Any
    event: sse.Event

    @property
    def choices(self) -> list[Any]:
        return as_list(dig(self.data, "choices"))

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [as_dict(dig(choice, "delta")) for choice in self.choices]


class StreamAnswer(Answer):
    """An exchange read as an event stream; where none came, it is an answer like any other."""

    @cached_property
    def _judged(self) -> tuple[tuple[sse.Event, ...], tuple[sse.Fault, ...]]:
        return sse.judge(self.exchange)

    @property
    def events(self) -> tuple[sse.Event, ...]:
        return self._judged[0]

    @property
    def faults(self) -> tuple[sse.Fault, ...]:
        """What is wrong with the framing; see :class:`llmserve.probe.sse.Fault`."""
        return self._judged[1]

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """The JSON events in order, whatever their name; ``[DONE]`` and events without data are none."""
        read = [(event, _json(event.data)) for event in self.events if event.data and event.data.strip() != DONE]
        return tuple(Chunk(data, event) for event, data in read if data is not MISSING)

    @cached_property
    def unreadable(self) -> tuple[sse.Event, ...]:
        """Events whose data is neither JSON nor ``[DONE]`` nor empty."""
        told = (event for event in self.events if event.data and event.data.strip() != DONE)
        return tuple(event for event in told if _json(event.data) is MISSING)

    @property
    def done(self) -> int:
        """How many events are ``[DONE]``."""
        return sum(event.data is not None and event.data.strip() == DONE for event in self.events)

    @property
    def is_stream(self) -> bool:
        """A 2xx with at least one chunk."""
        return self.status is not None and 200 <= self.status < 300 and bool(self.chunks)

    def streamed(self, *, refusal: str = "unsupported") -> tuple[Chunk, ...]:
        """The chunks of a stream that came to its end; anything else ends the check like :meth:`accepted`."""
        if self.status is not None and 200 <= self.status < 300:
            if self.exchange.error in ("timeout", "idle"):
                raise Ended(self.unaccepted())
            if self.exchange.error:
                raise Ended(fail(f"the stream broke: {self.brief()}"))
            if not self.chunks:
                raise Ended(fail(f"{self.status} without any event: {short(self.said, 60)}"))
            if self.error_chunk:
                raise Ended(inconclusive(f"the stream holds an error: {short(self.error_chunk.data)}"))
            return self.chunks
        if self.status is None:
            raise Ended(skipped(self.brief()) if self.exchange.error == "refused" else self.unaccepted())
        raise Ended(self.unaccepted(refusal=refusal))

    @cached_property
    def error_chunk(self) -> Chunk | None:
        """The chunk that says that something failed, if one does."""
        return next((chunk for chunk in self.chunks if dig(chunk.data, "error")), None)

    def of_choice(self, index: int = 0) -> list[dict[str, Any]]:
        """The pieces of one choice; a piece without index counts for the first."""
        pieces = (as_dict(choice) for chunk in self.chunks for choice in chunk.choices)
        return [piece for piece in pieces if piece.get("index", 0) == index]

    def joined(self, key: str = "content", index: int = 0) -> str:
        """The strings at ``delta.key`` (or ``key`` of a text completion) put together."""
        found = (as_dict(piece.get("delta")).get(key, piece.get(key)) for piece in self.of_choice(index))
        return "".join(text for text in found if isinstance(text, str))

    @property
    def text(self) -> str:
        return self.joined() or self.joined("text")

    def finishes(self, index: int = 0) -> list[Any]:
        """Every finish_reason of a choice that is not null or absent, in order."""
        reasons = (piece.get("finish_reason") for piece in self.of_choice(index))
        return [reason for reason in reasons if reason is not None]

    @property
    def finish(self) -> Any:
        return next(iter(self.finishes()), MISSING)

    @property
    def usages(self) -> list[Chunk]:
        """The chunks that carry a usage object."""
        return [chunk for chunk in self.chunks if as_dict(dig(chunk.data, "usage"))]

    @property
    def usage(self) -> dict[str, Any]:
        return as_dict(dig(self.usages[-1].data, "usage")) if self.usages else {}

    @property
    def tool_deltas(self) -> list[dict[str, Any]]:
        """Every element of ``delta.tool_calls`` of the first choice, in order."""
        lists = (as_list(as_dict(piece.get("delta")).get("tool_calls")) for piece in self.of_choice())
        return [as_dict(one) for calls in lists for one in calls]


def _json(text: str | None) -> Any:
    try:
        return lenient((text or "").encode("utf-8", "surrogatepass"))
    except ValueError:
        return MISSING
