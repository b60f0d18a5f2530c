"""One question, one answer: the text on stdout as it comes, everything else on stderr."""

from __future__ import annotations

from llmserve.chat.printer import Printer
from llmserve.chat.report import as_data, stats, warnings
from llmserve.chat.session import Answer, Session
from llmserve.endpoint.types import Delta
from llmserve.errors import InterruptedByUser
from llmserve.output import Output
from llmserve.result import Result

__all__ = ["once"]


def once(session: Session, question: str, output: Output, notes: tuple[str, ...] = ()) -> Result:
    """Ask, stream, and say how it went.

    Raises:
        InterruptedByUser: Ctrl-C; what had come stands on stdout and in the error's data.
        LlmserveError: what ended the answer, with the same.
    """
    if output.interactive:
        for note in notes:
            output.note(note)
    try:
        answer = _silently(session, question) if output.mode == "json" else _printed(session, question, output)
    except BrokenPipeError:  # click would end with 1, other commands of llmserve do not
        return Result(exit_code=output.closed())
    data = as_data(answer, session.model)
    if answer.stopped:
        raise InterruptedByUser("Stopped before the end of the answer.", data=data)
    if answer.error:
        answer.error.data |= data if answer.content or answer.reasoning else {}
        raise answer.error
    said = warnings(answer)
    if output.mode == "json":
        return Result(data=data, messages=(*notes, *said))
    return Result(data=data, messages=(*said, stats(answer)) if output.interactive else said)


def _silently(session: Session, question: str) -> Answer:
    def ignore(_: Delta) -> None:
        pass

    return session.ask(question, ignore)


def _printed(session: Session, question: str, output: Output) -> Answer:
    printer = Printer(output.out, output.err if output.interactive else None)
    answer = session.ask(question, printer.show)
    printer.end()
    return answer
