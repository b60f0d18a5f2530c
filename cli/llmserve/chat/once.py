"""One question, one answer: the text on stdout as it comes, everything else on stderr."""

from __future__ import annotations

from typing import Any

from llmserve.chat import schema as schemas
from llmserve.chat.interrupts import Interrupts
from llmserve.chat.printer import Printer
from llmserve.chat.report import as_data, stats, warnings
from llmserve.chat.session import Answer, Session
from llmserve.chat.trouble import pause, too_long, wait_for
from llmserve.chat.view import View, drawable, view
from llmserve.endpoint.endpoint import Price
from llmserve.endpoint.types import Delta, Message
from llmserve.errors import InterruptedByUser, LlmserveError
from llmserve.output import Output
from llmserve.result import Result

__all__ = ["once"]


def once(
    session: Session,
    question: str | Message,
    output: Output,
    notes: tuple[str, ...] = (),
    *,
    plain: bool = True,
    price: Price | None = None,
    schema: dict[str, Any] | None = None,
) -> Result:
    """Ask, stream, and say how it went. ``plain`` off draws Markdown, where stdout is a terminal that can.

    Raises:
        InterruptedByUser: Ctrl-C; what had come stands on stdout and in the error's data.
        LlmserveError: what ended the answer, or that it does not follow ``schema``, with the same.
    """
    if output.interactive:
        for note in notes:
            output.note(note)
    try:
        answer = _patiently(session, question, output, plain=plain)
    except BrokenPipeError:  # click would end with 1, other commands of llmserve do not
        return Result(exit_code=output.closed())
    data = as_data(answer, session.model)
    if answer.stopped:
        raise InterruptedByUser("Stopped before the end of the answer.", data=data)
    if answer.error:
        answer.error.data |= data if answer.content or answer.reasoning else {}
        raise _explained(answer.error)
    said = warnings(answer)
    if schema is not None:
        data["value"] = _checked(answer, schema, data)
    if output.mode == "json":
        return Result(data=data, messages=(*notes, *said))
    return Result(data=data, messages=(*said, stats(answer, price)) if output.interactive else said)


def _patiently(session: Session, question: str | Message, output: Output, *, plain: bool) -> Answer:
    """Ask, and again where the server says when; Ctrl-C ends a wait as it ends an answer."""
    attempt = 0
    while True:
        answer = _asked(session, question, output, plain=plain)
        wait = wait_for(answer.error, attempt) if answer.error and not answer.content else None
        if wait is None:
            return answer
        attempt += 1
        output.note(f"{answer.error.message if answer.error else ''} Asking again in {wait:.0f} s.")
        pause(wait)


def _asked(session: Session, question: str | Message, output: Output, *, plain: bool) -> Answer:
    if output.mode == "json":
        return session.ask(question, _ignore)
    if not plain and output.mode == "human" and drawable(output.out):
        with Interrupts() as interrupts:
            return _shown(session, question, view(output.out, plain=False, fold=True, held=interrupts.held))
    return _printed(session, question, output)


def _shown(session: Session, question: str | Message, shown: View) -> Answer:
    try:
        return session.ask(question, shown.show, idle=shown.idle)
    finally:
        shown.end()


def _printed(session: Session, question: str | Message, output: Output) -> Answer:
    printer = Printer(output.out, output.err if output.interactive else None)
    answer = session.ask(question, printer.show)
    printer.end()
    return answer


def _ignore(_: Delta) -> None:
    pass


def _explained(error: LlmserveError) -> LlmserveError:
    sentence = too_long(error)
    if sentence:
        error.hint = f"{sentence} Ask something shorter, or serve the model with a longer context."
    return error


def _checked(answer: Answer, schema: dict[str, Any], data: dict[str, Any]) -> Any:
    try:
        return schemas.check(answer.content, schema)
    except LlmserveError as error:
        error.data |= data
        raise
