"""A conversation: its messages, and one exchange. It knows no terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from llmserve.chat.text import mend
from llmserve.endpoint.names import some
from llmserve.endpoint.types import ChatRequest, Delta, Message, ServedModel, StreamEnd, StreamEvent, Usage
from llmserve.errors import LlmserveError

__all__ = ["Answer", "Session", "choose_model"]

_REFUSES_USAGE = (
    r"(?i)stream_options|include_usage|extra (?:inputs?|fields?)"
    r"|(?:unknown|unrecogni[sz]ed|unexpected) (?:request )?(?:field|parameter|argument|key)"
)

_BURST = 0.05


class Client(Protocol):
    """What a conversation needs of an endpoint's client."""

    def models(self) -> list[ServedModel]: ...
    def chat_stream(self, request: ChatRequest) -> Iterator[StreamEvent]: ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, whole or cut. Times are seconds since the request; None where nothing came.

    ``stopped``: the user did not want the rest. ``error``: why there is no rest.
    """

    content: str = ""
    reasoning: str = ""
    tools: tuple[str, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    last_s: float | None = None
    total_s: float = 0.0
    stopped: bool = False
    error: LlmserveError | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """The rate after the first token, from the server's own count.

        None if it came in one burst: that says something of a buffer on the way, nothing of the model.
        """
        tokens = self.usage.completion if self.usage else None
        if not tokens or self.ttft_s is None or self.last_s is None or self.last_s - self.ttft_s < _BURST:
            return None
        return (tokens - 1) / (self.last_s - self.ttft_s)


class Session:
    """Messages so far, and how to get the next one. ``sampling`` is sent with every request."""

    def __init__(
        self, client: Client, model: str, *, system: str | None = None, sampling: dict[str, Any] | None = None
    ) -> None:
        self.model = model
        self.messages: list[Message] = []
        self._client = client
        self._system: list[Message] = [{"role": "system", "content": mend(system)}] if system else []
        self._sampling = sampling or {}
        self._include_usage = True

    def clear(self) -> None:
        """Begin anew; the system prompt stays."""
        self.messages = []

    def ask(self, text: str, show: Callable[[Delta], None]) -> Answer:
        """Send ``text`` and pass the pieces of the answer to ``show`` as they come.

        Ctrl-C ends the answer and closes the connection, so that the server stops working too. What came before a
        Ctrl-C or an error is kept and remembered; a question that brought no text is forgotten.
        """
        question: Message = {"role": "user", "content": mend(text)}
        draft = _Draft()
        stopped, error = False, None
        try:
            with closing(self._events(question, draft)) as events:
                for event in events:
                    draft.take(event)
                    if isinstance(event, Delta) and event.index == 0:
                        show(event)
        except KeyboardInterrupt:
            stopped = True
        except LlmserveError as fault:
            error = fault
        answer = draft.answer(stopped=stopped, error=error)
        if answer.content:
            self.messages += [question, {"role": "assistant", "content": answer.content}]
        return answer

    def _events(self, question: Message, draft: _Draft) -> Generator[StreamEvent]:
        try:
            yield from self._client.chat_stream(self._request(question))
        except LlmserveError as error:
            if not (self._include_usage and error.code == "bad_request" and re.search(_REFUSES_USAGE, error.message)):
                raise
            self._include_usage = False
            draft.started = time.perf_counter()
            yield from self._client.chat_stream(self._request(question))

    def _request(self, question: Message) -> ChatRequest:
        return ChatRequest(
            model=self.model,
            messages=(*self._system, *self.messages, question),
            sampling=self._sampling,
            include_usage=self._include_usage,
        )


def choose_model(client: Client, wanted: str | None) -> tuple[str, str | None]:
    """The model to ask and, where the endpoint serves several, a note that says which was taken.

    Raises:
        LlmserveError: none was wanted and none is served.
    """
    if wanted:
        return wanted, None
    served = [model.id for model in client.models()]
    if not served:
        raise LlmserveError("The endpoint lists no model.", hint="Name one with --model ID.", code="no_model")
    if len(served) == 1:
        return served[0], None
    return served[0], f"Using the model {served[0]}. Others: {some(served[1:])}; choose with --model ID."


@dataclass
class _Draft:
    started: float = field(default_factory=time.perf_counter)
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    first: float | None = None
    last: float | None = None

    def take(self, event: StreamEvent) -> None:
        if isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, StreamEnd):
            self.finish_reason = event.finish_reason
        elif event.index == 0:
            self._take_delta(event)

    def _take_delta(self, delta: Delta) -> None:
        if delta.content or delta.reasoning or delta.tool_calls:
            self.last = time.perf_counter() - self.started
            self.first = self.last if self.first is None else self.first
        self.content.append(delta.content)
        self.reasoning.append(delta.reasoning)
        self.tools += [fragment.name for fragment in delta.tool_calls if fragment.name]

    def answer(self, *, stopped: bool, error: LlmserveError | None) -> Answer:
        return Answer(
            content=mend("".join(self.content)),
            reasoning=mend("".join(self.reasoning)),
            tools=tuple(self.tools),
            finish_reason=self.finish_reason,
            usage=self.usage,
            ttft_s=self.first,
            last_s=self.last,
            total_s=time.perf_counter() - self.started,
            stopped=stopped,
            error=error,
        )
