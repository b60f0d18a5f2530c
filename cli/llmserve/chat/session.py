"""A conversation: what was said, and one exchange after the other. It knows no terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

from llmserve.chat.answer import Answer, Draft, ToolCall
from llmserve.chat.text import mend
from llmserve.chat.turns import Turn
from llmserve.endpoint.names import some
from llmserve.endpoint.types import ChatRequest, Delta, Message, ServedModel, StreamEvent
from llmserve.errors import LlmserveError

__all__ = ["Answer", "Client", "Session", "Tools", "choose_model"]

_REFUSES_USAGE = (
    r"(?i)stream_options|include_usage|extra (?:inputs?|fields?)"
    r"|(?:unknown|unrecogni[sz]ed|unexpected) (?:request )?(?:field|parameter|argument|key)"
)

_MOST_ROUNDS = 16  # of tool calls in one turn: a model that goes round in circles is stopped
_MOST_DEBUG = 4 * 1024**2


class Client(Protocol):
    """What a conversation needs of an endpoint's client."""

    def models(self) -> list[ServedModel]: ...
    def chat_stream(
        self, request: ChatRequest, *, idle: Callable[[], None], tap: Callable[[bytes], None]
    ) -> Iterator[StreamEvent]: ...


class Tools(Protocol):
    """What may be offered to the model: definitions for the request, and a way to run a call that it made."""

    @property
    def definitions(self) -> Sequence[dict[str, Any]]: ...
    def call(self, call: ToolCall) -> str:
        """The result as text, an error or a refusal being one, too."""
        ...


def _nothing() -> None:
    pass


class Session:
    """Turns so far, and how to get the next one. ``sampling`` is sent with every request.

    ``pending`` is a question that brought no answer: :meth:`retry` asks it again. ``changed`` is called after every
    change that is worth keeping. ``exchange`` holds the last request and the bytes that came back.
    """

    def __init__(
        self,
        client: Client,
        model: str,
        *,
        system: str | None = None,
        sampling: dict[str, Any] | None = None,
        tools: Tools | None = None,
    ) -> None:
        self.client = client
        self.model = model
        self.system = system
        self.sampling = dict(sampling or {})
        self.tools = tools
        self.turns: list[Turn] = []
        self.earlier: list[Message] = []  # said before the first turn, elsewhere
        self.pending: Message | None = None
        self.changed: Callable[[], None] = _nothing
        self.exchange: tuple[dict[str, Any], bytearray] | None = None
        self._include_usage = True

    @property
    def messages(self) -> list[Message]:
        """The conversation as it is sent, without the system prompt."""
        return [*self.earlier, *(message for turn in self.turns for message in turn.messages)]

    def clear(self) -> None:
        """Begin anew; the system prompt stays."""
        self.turns, self.pending = [], None
        self.changed()

    def undo(self) -> Message | None:
        """Take back the last question, and what came of it."""
        question = self.pending
        if question is None and self.turns:
            question = self.turns.pop().question
        self.pending = None
        self.changed()
        return question

    def drop_oldest(self) -> bool:
        """Forget the oldest turn; False if there is none."""
        forgotten = bool(self.turns)
        del self.turns[:1]
        self.changed()
        return forgotten

    def ask(
        self, question: str | Message, show: Callable[[Delta], None], *, idle: Callable[[], None] = _nothing
    ) -> Answer:
        """Send a text, or a user message, and pass the pieces of the answer to ``show`` as they come.

        ``idle`` is called whenever nothing more has come. Ctrl-C ends the answer and closes the connection, so that the
        server stops working too. What came before a Ctrl-C or an error is kept and remembered; a question that brought
        nothing is pending.
        """
        message = {"role": "user", "content": mend(question)} if isinstance(question, str) else question
        turn = Turn(question=message, model=self.model)
        self.pending = message
        self.changed()
        answer = self._step(turn, show, idle)
        for _ in range(_MOST_ROUNDS):
            if not (answer.calls and self.tools) or answer.cut:
                break
            self._run(answer, turn, self.tools)
            answer = self._step(turn, show, idle)
        return answer

    def retry(self, show: Callable[[Delta], None], *, idle: Callable[[], None] = _nothing) -> Answer | None:
        """Ask the last question again; None if there is none."""
        question = self.undo()
        return self.ask(question, show, idle=idle) if question else None

    def request(self, *more: Message) -> ChatRequest:
        """The next request, with ``more`` after all that was said."""
        system: list[Message] = [{"role": "system", "content": mend(self.system)}] if self.system else []
        tools = list(self.tools.definitions) if self.tools else []
        return ChatRequest(
            model=self.model,
            messages=(*system, *self.messages, *more),
            sampling={**({"tools": tools} if tools else {}), **self.sampling},
            include_usage=self._include_usage,
        )

    def _step(self, turn: Turn, show: Callable[[Delta], None], idle: Callable[[], None]) -> Answer:
        draft = Draft()
        stopped, error = False, None
        try:
            with closing(self._events(turn, draft, idle)) as events:
                for event in events:
                    delta = draft.take(event)
                    if delta:
                        show(delta)
                if delta := draft.rest():
                    show(delta)
        except KeyboardInterrupt:
            stopped = True
        except LlmserveError as fault:
            error = fault
        except BaseException:
            self._keep(turn, draft.answer(stopped=True, error=None))
            raise
        answer = draft.answer(stopped=stopped, error=error)
        self._keep(turn, answer)
        return answer

    def _keep(self, turn: Turn, answer: Answer) -> None:
        said = bool(answer.content) or (bool(answer.calls) and not answer.cut)
        if said:
            message: Message = {"role": "assistant", "content": answer.content}
            if answer.calls and not answer.cut:
                message["tool_calls"] = [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in answer.calls
                ]
            turn.replies.append(message)
            turn.cut, turn.reasoning = answer.cut, turn.reasoning + answer.reasoning
        if turn.replies and not any(turn is known for known in self.turns):
            self.turns.append(turn)
        if turn.replies:
            self.pending = None
        self.changed()

    def _run(self, answer: Answer, turn: Turn, tools: Tools) -> None:
        for call in answer.calls:
            turn.replies.append({"role": "tool", "tool_call_id": call.id, "content": mend(tools.call(call))})
        self.changed()

    def _events(self, turn: Turn, draft: Draft, idle: Callable[[], None]) -> Generator[StreamEvent]:
        try:
            yield from self._stream(turn, idle)
        except LlmserveError as error:
            if not (self._include_usage and error.code == "bad_request" and re.search(_REFUSES_USAGE, error.message)):
                raise
            self._include_usage = False
            draft.restart()
            yield from self._stream(turn, idle)

    def _stream(self, turn: Turn, idle: Callable[[], None]) -> Iterator[StreamEvent]:
        asked = any(turn is known for known in self.turns)
        request = self.request() if asked else self.request(*turn.messages)
        raw = bytearray()
        self.exchange = (request.body(stream=True), raw)

        def tap(piece: bytes) -> None:
            if len(raw) < _MOST_DEBUG:
                raw.extend(piece)

        return self.client.chat_stream(request, idle=idle, tap=tap)


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
