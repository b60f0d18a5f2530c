"""What a check is given: requests in the words of the API, and what the run has learnt so far."""

from __future__ import annotations

import json
from typing import Any

from llmserve import __version__
from llmserve.probe.answer import Answer
from llmserve.probe.connection import Connection
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.session import Facts, Session
from llmserve.probe.stream import StreamAnswer

__all__ = ["OMIT", "PROMPT", "Context"]

PROMPT = "Count from one to twenty in words."
OMIT: Any = type("Omit", (), {"__repr__": lambda _: "OMIT"})()
"""As a field's value: leave out what would be sent by default."""

Headers = dict[str, str | None]
"""Headers to add or replace; None leaves one out."""


class Context:
    """The view of one check on the run. ``touched`` are the exchanges that it looked at: its evidence."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.touched: list[Exchange] = []

    @property
    def facts(self) -> Facts:
        return self.session.facts

    @property
    def model(self) -> str:
        return self.facts.model

    # --- the API's routes; identical requests are sent once, ``again`` numbers wanted repetitions

    def chat(
        self, messages: Any = None, *, tokens: int | None = 8, again: int = 0, headers: Headers | None = None,
        **fields: Any,
    ) -> Answer:  # fmt: skip
        """``/chat/completions``, greedy, at most ``tokens`` long. A string is one user message."""
        return self.post("/chat/completions", self.chat_body(messages, tokens, **fields), again=again, headers=headers)

    def chat_stream(
        self, messages: Any = None, *, tokens: int | None = 8, usage: bool = False, again: int = 0,
        headers: Headers | None = None, **fields: Any,
    ) -> StreamAnswer:  # fmt: skip
        """The same, streamed; ``usage`` asks for the usage chunk."""
        body = self.chat_body(
            messages, tokens, stream=True, **({"stream_options": {"include_usage": True}} if usage else {}), **fields
        )
        return self.stream("/chat/completions", body, again=again, headers=headers)

    def chat_body(self, messages: Any = None, tokens: int | None = 8, **fields: Any) -> dict[str, Any]:
        """The body that :meth:`chat` sends; the same call gives the same bytes."""
        said = PROMPT if messages is None else messages
        said = [{"role": "user", "content": said}] if isinstance(said, str) else said
        limit = {} if tokens is None else {self.facts.limit_field: tokens}
        return _without_omitted({"model": self.model, "messages": said, **limit, **self.facts.sampling, **fields})

    def completion(
        self, prompt: Any = "Once upon a time", *, tokens: int | None = 8, again: int = 0, **fields: Any
    ) -> Answer:
        """``/completions``, greedy."""
        return self.post("/completions", self.completion_body(prompt, tokens, **fields), again=again)

    def completion_stream(
        self, prompt: Any = "Once upon a time", *, tokens: int | None = 8, again: int = 0, **fields: Any
    ) -> StreamAnswer:
        body = self.completion_body(prompt, tokens, stream=True, **fields)
        return self.stream("/completions", body, again=again)

    def completion_body(self, prompt: Any, tokens: int | None, **fields: Any) -> dict[str, Any]:
        limit = {} if tokens is None else {"max_tokens": tokens}
        return _without_omitted({"model": self.model, "prompt": prompt, **limit, "temperature": 0, **fields})

    def get(self, path: str, *, headers: Headers | None = None, again: int = 0) -> Answer:
        """``path`` is that of the API (``/models``), below the base URL."""
        return self.answer(self.request("GET", path, headers=headers), again=again)

    def post(
        self, path: str, body: Any, *, headers: Headers | None = None, again: int = 0, limits: Limits | None = None
    ) -> Answer:
        """``body`` is sent as JSON, or as it is if it is bytes."""
        return self.answer(self.request("POST", path, body, headers=headers), again=again, limits=limits)

    def stream(
        self, path: str, body: Any, *, headers: Headers | None = None, again: int = 0, limits: Limits | None = None
    ) -> StreamAnswer:
        """Like :meth:`post`, read as an event stream."""
        made = self.send(self.request("POST", path, body, headers=headers), again=again, limits=limits)
        return StreamAnswer(made)

    # --- below the API

    def request(self, method: str, path: str, body: Any = None, *, headers: Headers | None = None) -> Request:
        """A request as the SDKs would send it: key, media types, JSON."""
        content = b"" if body is None else body if isinstance(body, bytes) else encoded(body)
        wanted: Headers = {
            "Accept": "application/json",
            "Content-Type": None if body is None else "application/json",
            "User-Agent": f"llmserve/{__version__} (probe)",
            "Authorization": f"Bearer {self.session.endpoint.api_key}" if self.session.endpoint.api_key else None,
        }
        names = {name.lower(): name for name in wanted}
        wanted |= {names.get(name.lower(), name): value for name, value in self.session.endpoint.headers}
        names = {name.lower(): name for name in wanted}
        wanted |= {names.get(name.lower(), name): value for name, value in (headers or {}).items()}
        sent = tuple((name, value) for name, value in wanted.items() if value is not None)
        return Request(method=method, target=self.session.target.path + path, headers=sent, body=content)

    def send(self, request: Request, *, again: int = 0, limits: Limits | None = None) -> Exchange:
        """Any request at all."""
        made = self.session.send(request, again=again, limits=limits)
        self.note(made)
        return made

    def answer(self, request: Request, *, again: int = 0, limits: Limits | None = None) -> Answer:
        return Answer(self.send(request, again=again, limits=limits))

    def connection(self) -> Connection:
        """A connection for several exchanges; call :meth:`carried` with each."""
        return self.session.connection()

    def carried(self, made: Exchange) -> Exchange:
        """Note an exchange over a connection of one's own, as evidence and as traffic of the run."""
        self.session.note(made)
        self.note(made)
        return made

    def note(self, made: Exchange) -> None:
        if not any(made is one for one in self.touched):
            self.touched.append(made)


def encoded(body: Any) -> bytes:
    """JSON as the SDKs send it: UTF-8, no spaces; half a surrogate pair goes as an escape."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()


def _without_omitted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not OMIT}
