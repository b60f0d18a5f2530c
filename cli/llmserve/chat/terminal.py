"""The conversation at a terminal: a line in, an answer out, until the user leaves."""

from __future__ import annotations

import re

from llmserve.chat import commands
from llmserve.chat.attachments import question
from llmserve.chat.interrupts import Interrupts, silent_keyboard
from llmserve.chat.live import Live
from llmserve.chat.prompt import Reader
from llmserve.chat.report import stats, warnings
from llmserve.chat.session import Answer
from llmserve.chat.state import Ask, Chat, Leave, Retype
from llmserve.chat.trouble import pause, too_long, wait_for
from llmserve.chat.view import drawable, view
from llmserve.errors import LlmserveError
from llmserve.output import Output

__all__ = ["converse"]

_COMMAND = re.compile(r"/[a-z?]+(?:\s.*)?", re.DOTALL)


def converse(chat: Chat, read: Reader, output: Output) -> None:
    """Read lines with ``read`` until it raises EOFError, two KeyboardInterrupts in a row, or /quit is typed."""
    chat.say(f"{chat.session.model}: /help shows the commands, Ctrl-D leaves.")
    begin, interrupted = "", False
    while True:
        try:
            line = read(begin).strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            if interrupted:
                return
            chat.say("Ctrl-C again, or Ctrl-D, leaves.")
            interrupted = True
            continue
        begin, interrupted = "", False
        try:
            action = _action(chat, line)
            if isinstance(action, Leave):
                return
            if isinstance(action, Retype):
                begin = action.text
            elif isinstance(action, Ask):
                interrupted = _exchange(chat, action.text, output)
        except LlmserveError as error:
            output.fail(error)
        except KeyboardInterrupt:
            chat.say("Stopped.")
            interrupted = True


def _action(chat: Chat, line: str) -> Ask | Retype | Leave | None:
    if _COMMAND.fullmatch(line) and (line.split()[0].removeprefix("/") in commands.COMMANDS or " " not in line):
        return commands.run(chat, line)
    return Ask(line) if line else None


def _exchange(chat: Chat, text: str | None, output: Output) -> bool:
    """Ask, and see to what goes wrong; True if the user stopped it."""
    attempt = 0
    while True:
        answer = _asked(chat, text)
        if answer is None:
            return False
        text = None  # from now on it is the pending question
        if answer.error is None or answer.content:
            break
        wait = wait_for(answer.error, attempt)
        attempt += 1
        if wait is not None:
            _wait(chat, answer.error, wait)
        elif not _shortened(chat, answer.error, output):
            return False
    return _said(chat, answer, output)


def _asked(chat: Chat, text: str | None) -> Answer | None:
    """One request; without a text, the last question again."""
    session = chat.session
    with Interrupts() as interrupts, silent_keyboard():
        shown = view(chat.out, plain=chat.plain, fold=chat.fold, held=interrupts.held)
        chat.pause_view = shown.end
        try:
            if text is None:
                return session.retry(shown.show, idle=shown.idle)
            parts = [part for _, part in chat.attached]
            chat.attached.clear()
            return session.ask(question(text, parts) if parts else text, shown.show, idle=shown.idle)
        finally:
            shown.end()


def _wait(chat: Chat, error: LlmserveError, seconds: float) -> None:
    """Ctrl-C ends the wait; the question stays."""
    chat.say(error.message)
    if not drawable(chat.out) or chat.quiet:
        chat.say(f"Asking again in {seconds:.0f} s; Ctrl-C stops.")
        pause(seconds)
        return
    live = Live(chat.out)
    try:
        pause(seconds, lambda left: live.update([], [f"Asking again in {left:.0f} s; Ctrl-C stops."]))
    finally:
        live.update([], [])


def _shortened(chat: Chat, error: LlmserveError, output: Output) -> bool:
    """Say what went wrong; True if the conversation was made shorter and the question is to be asked again."""
    sentence = too_long(error)
    output.fail(error)
    if sentence and chat.session.turns:
        chat.say(sentence)
        if chat.confirm("Forget the oldest question and answer, and ask again?"):
            chat.session.drop_oldest()
            return True
    elif sentence:
        chat.say(sentence)
    chat.say("Your question is kept: /retry asks it again, /edit changes it.")
    return False


def _said(chat: Chat, answer: Answer, output: Output) -> bool:
    if answer.error:
        output.fail(answer.error)
        chat.say("What came is kept: /retry asks again.")
    elif answer.stopped:
        chat.say("Stopped." if answer.content else "Stopped; the question is kept: /retry asks it again.")
    else:
        for warning in warnings(answer):
            chat.say(warning)
        chat.say(stats(answer, chat.endpoint.price))
    return answer.stopped
