"""Commands that read and write files."""

from __future__ import annotations

import shlex
from pathlib import Path

from llmserve import paths
from llmserve.chat import export, store
from llmserve.chat.attachments import file_part, image_part
from llmserve.chat.commands.command import Command
from llmserve.chat.state import Action, Chat
from llmserve.errors import LlmserveError, UsageError

__all__ = ["COMMANDS"]


def _path(argument: str) -> str:
    """A path as typed: with quotes, or with blanks in it."""
    if argument[:1] in "\"'" and argument[:1]:
        try:
            return shlex.split(argument)[0]
        except ValueError:
            pass
    return argument.replace("\\ ", " ")


def _save(chat: Chat, argument: str) -> Action:
    """A name: among the sessions. A path: a file of the same kind there."""
    if not argument:
        chat.keep()
        chat.say(f"Saved as {chat.saver.name}." if chat.saver and chat.saver.name else "There is nothing to save yet.")
        return None
    path = _path(argument)
    if "/" in path or path.endswith(".json"):
        _write(Path(path).expanduser(), store.dump(chat.session, chat.endpoint.base_url))
        chat.say(f"Saved into {path}.")
        return None
    if store.find(path):
        raise UsageError(f"There is a conversation called {path} already.", hint="Choose another name.")
    old, chat.saver = chat.saver, store.Saver(chat.endpoint.base_url, path)
    if old:
        old.close()
    chat.keep()
    chat.say(f"Saved as {path}; from now on under this name.")
    return None


def _load(chat: Chat, argument: str) -> Action:
    if not argument:
        names = [each.name for each in store.saved()[:20]]
        chat.show("\n".join(names) if names else "Nothing was saved yet.")
        return None
    path = _path(argument)
    found = store.read(Path(path).expanduser()) if "/" in path or path.endswith(".json") else store.find(path)
    if found is None:
        raise UsageError(f"There is no conversation called {path}.", hint="/load lists them.")
    if chat.saver:
        chat.saver.renew()
    chat.session.turns, chat.session.pending = list(found.turns), found.pending
    chat.session.system, chat.session.sampling = found.system, dict(found.sampling)
    chat.session.changed()
    chat.say(f"{len(found.turns)} questions and answers are here again; what is added is saved as a new conversation.")
    return None


def _export(chat: Chat, argument: str) -> Action:
    if not chat.session.turns and not chat.session.pending:
        raise UsageError("There is nothing to export yet.")
    as_json = argument.endswith(".json") or argument == "json"
    text = export.as_json(chat.session) if as_json else export.as_markdown(chat.session)
    if argument in ("", "json", "markdown"):
        chat.show(text)
        return None
    _write(Path(_path(argument)).expanduser(), text)
    chat.say(f"Written to {argument}.")
    return None


def _write(path: Path, text: str) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Name a file in it.")
    try:
        paths.write_atomic(path, text)
    except OSError as error:
        raise LlmserveError(f"{path} cannot be written: {error.strerror}.") from error


def _image(chat: Chat, argument: str) -> Action:
    if not argument:
        raise UsageError("Which image?", hint="/image photo.png")
    chat.attached.append((argument, image_part(_path(argument))))
    chat.say(f"{argument} goes with your next question.")
    return None


def _file(chat: Chat, argument: str) -> Action:
    if not argument:
        raise UsageError("Which file?", hint="/file main.py")
    chat.attached.append((argument, file_part(_path(argument))))
    chat.say(f"{argument} goes with your next question.")
    return None


COMMANDS = {
    "save": Command(
        _save, "keep it under a name, or in a file; it is saved by itself anyway", "[NAME|FILE]", paths=True
    ),
    "load": Command(_load, "go on with a saved conversation; without a name, list them", "[NAME|FILE]", paths=True),
    "export": Command(_export, "as Markdown, or as a request to send again (.json)", "[FILE]", paths=True),
    "image": Command(_image, "send an image with the next question", "FILE", paths=True),
    "file": Command(_file, "send a text file with the next question", "FILE", paths=True),
}
