"""One answer: what came back, and how fast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from llmserve.chat.text import mend
from llmserve.chat.think import ThinkSplitter
from llmserve.endpoint.types import Delta, StreamEnd, StreamEvent, ToolFragment, Usage
from llmserve.errors import LlmserveError

__all__ = ["Answer", "Draft", "ToolCall"]

_BURST = 0.05


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """What the model wants to be run; ``arguments`` is the JSON text that it wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, whole or cut. Times are seconds since the request; None where nothing came.

    ``stopped``: the user did not want the rest. ``error``: why there is no rest.
    """

    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    last_s: float | None = None
    thought_s: float | None = None
    total_s: float = 0.0
    stopped: bool = False
    error: LlmserveError | None = None

    @property
    def tools(self) -> tuple[str, ...]:
        return tuple(call.name for call in self.calls)

    @property
    def cut(self) -> bool:
        """Whether there should have been more."""
        return self.stopped or self.error is not None or self.finish_reason == "length"

    @property
    def tokens_per_s(self) -> float | None:
        """The rate after the first token, from the server's own count.

        None if it came in one burst: that says something of a buffer on the way, nothing of the model.
        """
        tokens = self.usage.completion if self.usage else None
        if not tokens or self.ttft_s is None or self.last_s is None or self.last_s - self.ttft_s < _BURST:
            return None
        return (tokens - 1) / (self.last_s - self.ttft_s)


@dataclass
class Draft:
    """An answer while it comes."""

    started: float = field(default_factory=time.perf_counter)
    finish_reason: str | None = None
    usage: Usage | None = None
    _content: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: dict[int, list[str]] = field(default_factory=dict)  # id, name, pieces of the arguments
    _first: float | None = None
    _last: float | None = None
    _thought: float | None = None
    _splitter: ThinkSplitter = field(default_factory=ThinkSplitter)

    def take(self, event: StreamEvent) -> Delta | None:
        """The piece to show, thoughts that stand inside the text moved to where they belong."""
        if isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, StreamEnd):
            self.finish_reason = event.finish_reason
        elif event.index == 0:
            return self._delta(event)
        return None

    def restart(self) -> None:
        """The request was refused and is sent again: only the second one is timed."""
        self.started = time.perf_counter()

    def rest(self) -> Delta | None:
        """What was held back for a tag that did not come."""
        text, thought = self._splitter.end()
        return self._kept(Delta(), text, thought) if text or thought else None

    def answer(self, *, stopped: bool, error: LlmserveError | None) -> Answer:
        self.rest()
        return Answer(
            content=mend("".join(self._content)),
            reasoning=mend("".join(self._reasoning)),
            calls=tuple(
                ToolCall(id=mend(id_ or f"call_{index}"), name=mend(name), arguments=mend("".join(pieces)))
                for index, (id_, name, *pieces) in sorted(self._calls.items())
                if name
            ),
            finish_reason=self.finish_reason,
            usage=self.usage,
            ttft_s=self._first,
            last_s=self._last,
            thought_s=self._thought,
            total_s=time.perf_counter() - self.started,
            stopped=stopped,
            error=error,
        )

    def _delta(self, delta: Delta) -> Delta | None:
        if delta.content or delta.reasoning or delta.tool_calls:
            self._last = time.perf_counter() - self.started
            self._first = self._last if self._first is None else self._first
        for fragment in delta.tool_calls:
            self._fragment(fragment)
        text, thought = self._splitter.feed(delta.content) if delta.content else ("", "")
        return self._kept(delta, text, delta.reasoning + thought)

    def _kept(self, delta: Delta, text: str, thought: str) -> Delta | None:
        if thought:
            self._reasoning.append(thought)
        if text:
            self._content.append(text)
            if self._thought is None and self._reasoning and self._first is not None and self._last is not None:
                self._thought = self._last - self._first
        if text == delta.content and thought == delta.reasoning:
            return delta
        return replace(delta, content=text, reasoning=thought) if text or thought else None

    def _fragment(self, fragment: ToolFragment) -> None:
        """Pieces of one call share an index; a server that sends none begins a new call with each name."""
        index = fragment.index
        if index is None:
            index = len(self._calls) if fragment.name or not self._calls else max(self._calls)
        call = self._calls.setdefault(index, ["", ""])
        call[0] = call[0] or fragment.id or ""
        call[1] = call[1] or fragment.name or ""
        call.append(fragment.arguments)
