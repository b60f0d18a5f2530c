"""Whole conversations as text: a reader that types, and a conversation that draws on a string."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from llmserve.chat.session import Session
from llmserve.chat.state import Chat
from llmserve.chat.store import Saver
from llmserve.chat.terminal import converse
from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.types import ServedModel
from llmserve.output import Output
from tests.fakes.endpoint import FakeEndpoint, Route

Line = str | type[BaseException]


class Nobody:
    """A client whose models can be listed, and no more."""

    def __init__(self, *models: str) -> None:
        self._models = models

    def models(self) -> list[ServedModel]:
        return [ServedModel(id=name) for name in self._models]

    def chat_stream(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing was to be asked")


def conversing(**options: Any) -> Chat:
    """A conversation that can ask nobody."""
    session = Session(Nobody(*options.get("models", ())), "tiny")
    return Chat(session=session, endpoint=Endpoint(base_url="http://h/v1"), out=io.StringIO(), **options)


def typing(lines: list[Line], screen: io.StringIO) -> Callable[[str], str]:
    """A reader that types ``lines``, echoed as a terminal would, then Ctrl-D."""
    rest: Iterator[Line] = iter(lines)

    def read(begin: str) -> str:
        line = next(rest, EOFError)
        if isinstance(line, str):
            screen.write(f"> {begin}{line}\n")
            return begin + line
        raise line

    return read


def transcript(
    answers: Route, lines: list[Line], *, mode: str = "human", save: bool = False, **more: Any
) -> tuple[str, FakeEndpoint, Chat]:
    """What is on the screen at the end, with times that are always the same; the server, and the conversation."""
    screen = io.StringIO()
    routes = {"/v1/chat/completions": answers, **more.pop("routes", {})}
    with FakeEndpoint(routes) as fake, Client(Endpoint(base_url=fake.url)) as client:
        chat = Chat(
            session=Session(client, "tiny"), endpoint=client.endpoint, out=screen, quiet=mode == "quiet",
            connect=Client, saver=Saver(fake.url) if save else None, **more,
        )  # fmt: skip
        chat.session.changed = chat.keep
        converse(chat, typing(lines, screen), Output(mode, "chat", out=screen, err=screen))
        if chat.saver:
            chat.saver.close()
    text = screen.getvalue().replace(fake.url, "URL").replace(fake.host, "HOST")
    return re.sub(r"TTFT \d+ ms", "TTFT 9 ms", text), fake, chat
