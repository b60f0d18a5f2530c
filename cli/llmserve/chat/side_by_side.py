"""Two answers to one question, from two endpoints or two models, next to each other."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from llmserve.chat.live import screen_size
from llmserve.chat.markdown.spans import cells
from llmserve.chat.markdown.stream import Markdown
from llmserve.chat.report import stats
from llmserve.chat.session import Answer, Client, Session, choose_model
from llmserve.chat.state import Chat
from llmserve.chat.text import clean
from llmserve.endpoint.types import Delta, Message
from llmserve.errors import LlmserveError, UsageError

__all__ = ["compare"]

_GAP = " │ "
_NARROW = 60  # cells; below that one stands under the other


def compare(chat: Chat, target: str, text: str) -> None:
    """Ask ``target`` and the endpoint of the conversation the same, at the same time; the conversation stays as it is.

    Raises:
        LlmserveError: there is nothing to ask, or ``target`` is neither an address nor a model.
    """
    earlier, question = _question(chat, text)
    client, model, mine = _other(chat, target)
    try:
        sides = [_side(chat.session.client, chat.session.model, chat, earlier), _side(client, model, chat, earlier)]
        names = [f"{sides[0].model}", f"{model} at {target}" if mine else model]
        chat.say(f"Asking {' and '.join(names)} …")
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda side: side.ask(question, _ignore), sides))
    finally:
        if mine and hasattr(client, "close"):
            client.close()
    chat.show(_drawn(names, answers))


def _ignore(_: Delta) -> None:
    pass


def _question(chat: Chat, text: str) -> tuple[list[Message], str | Message]:
    """What was said before the question, and the question: a new one, or the last."""
    session = chat.session
    if text:
        return session.messages, text
    if session.pending:
        return session.messages, session.pending
    if not session.turns:
        raise UsageError("Nothing was asked yet.", hint="/compare URL-or-MODEL QUESTION")
    return [message for turn in session.turns[:-1] for message in turn.messages], session.turns[-1].question


def _other(chat: Chat, target: str) -> tuple[Client, str, bool]:
    """The client and the model to compare with, and whether the client is a new one."""
    if "://" in target or re.search(r":\d+(/|$)", target) or target.startswith("localhost"):
        if chat.connect is None:
            raise UsageError("No other endpoint can be asked here.")
        from llmserve.endpoint.find import find

        client = chat.connect(find(target))
        return client, choose_model(client, None)[0], True
    served = [model.id for model in chat.session.client.models()]
    if target not in served:
        near = [name for name in served if target.lower() in name.lower()]
        if len(near) != 1:
            raise UsageError(
                f"{target!r} is neither an address nor a model of this endpoint.", hint="/model lists them."
            )
        target = near[0]
    return chat.session.client, target, False


def _side(client: Client, model: str, chat: Chat, earlier: list[Message]) -> Session:
    side = Session(client, model, system=chat.session.system, sampling=chat.session.sampling)
    side.earlier = earlier
    return side


def _drawn(names: list[str], answers: list[Answer]) -> str:
    width = screen_size()[0] - 1
    column = (width - len(_GAP)) // 2
    if width < _NARROW:
        return "\n\n".join("\n".join(_column(*side, width)) for side in zip(names, answers, strict=True))
    left, right = (_column(name, answer, column) for name, answer in zip(names, answers, strict=True))
    height = max(len(left), len(right))
    rows = zip(left + [""] * (height - len(left)), right + [""] * (height - len(right)), strict=True)
    return "\n".join(f"{a}{' ' * (column - cells(a))}{_GAP}{b}".rstrip() for a, b in rows)


def _column(name: str, answer: Answer, width: int) -> list[str]:
    page = Markdown(width, colours=False)
    text = clean(answer.content) or ("(no text)" if not answer.error else "")
    rows = [*page.feed(text).final, *page.end().final]
    end = _sentence(answer.error) if answer.error else stats(answer)
    small = Markdown(width, colours=False, literal="")
    below = [*small.feed(clean(end)).final, *small.end().final]
    title = Markdown(width, colours=False, literal="")
    return [*title.feed(clean(name)).final, *title.end().final, "─" * width, *rows, "", *below]


def _sentence(error: LlmserveError) -> str:
    return f"error: {error.message}"
