"""The one place that prints. stdout carries the result, stderr everything else."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

from llmserve.errors import LlmserveError
from llmserve.output.text import escaped, printable
from llmserve.result import Result

__all__ = ["ENVELOPE_VERSION", "Output"]

ENVELOPE_VERSION = 1


class Output:
    """How this run speaks, decided once from the command line: ``human``, ``json`` or ``quiet``."""

    def __init__(self, mode: str = "human", command: str = "", *, out: TextIO | None = None, err: TextIO | None = None):
        self.mode = mode
        self.command = command
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self._enveloped = False

    @classmethod
    def from_args(cls, args: list[str]) -> Output:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a Latin-1 locale must not turn an answer into a traceback
        own = args[: args.index("--")] if "--" in args else args
        mode = "json" if "--json" in own else "quiet" if {"-q", "--quiet"} & set(own) else "human"
        return cls(mode, next((word for word in own if not word.startswith("-")), ""))

    @property
    def interactive(self) -> bool:
        """Whether a person watches stderr: live displays and prompts make sense."""
        return self.mode == "human" and self.err.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, result: Result) -> None:
        """Print a command's result in the mode of this run."""
        if self.mode == "json":
            self._envelope(result.exit_code, result.data, result.messages, [result.error] if result.error else [])
            return
        if result.error:
            self._sentence(result.error, hint=self.mode == "quiet" or not result.human)
        if self.mode == "quiet":
            self._line(printable(result.quiet))
        else:
            self._line(self._bold(printable(result.title)) + (self._coloured(result) or printable(result.human)))
        for message in result.messages:
            self.note(message)

    def note(self, text: str) -> None:
        """A hint or a step for the person at the terminal; silent in quiet and JSON mode."""
        if self.mode == "human":
            self.err.write(printable(text) + "\n")
            self.err.flush()

    def fail(self, error: LlmserveError) -> int:
        """Print an error as one sentence and the next step, or as the JSON envelope."""
        if os.environ.get("LLMSERVE_DEBUG") == "1":
            traceback.print_exception(error, file=self.err)
        if self.mode == "json" and not self._enveloped:  # one command, one envelope
            self._envelope(error.exit_code, {}, (), [error])
        else:
            self._sentence(error)
        return error.exit_code

    def fail_unexpected(self, error: Exception) -> int:
        kind = type(error).__name__
        sentence = f"Unexpected {kind}: {' '.join(str(error).split()) or 'no message'}"
        hint = "Run it again with LLMSERVE_DEBUG=1 and report the traceback."
        return self.fail(LlmserveError(sentence, hint=hint, code="internal"))

    def closed(self) -> int:
        """The reader of stdout went away (``llmserve ps | head``): end quietly, as other tools do."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

    def _sentence(self, error: LlmserveError, *, hint: bool = True) -> None:
        self.err.write(f"{'' if error.exit_code == 130 else 'error: '}{printable(error.message)}\n")
        if hint and error.hint:
            self.err.write(f"  {printable(error.hint)}\n")
        self.err.flush()

    def _coloured(self, result: Result) -> str:
        return result.coloured if self.out.isatty() and not os.environ.get("NO_COLOR") else ""

    def _bold(self, title: str) -> str:
        if title and self.out.isatty() and not os.environ.get("NO_COLOR"):
            return f"\n\x1b[1m{title}\x1b[0m\n"
        return f"{title}\n" if title else ""

    def _line(self, text: str) -> None:
        if text:
            self.out.write(text if text.endswith("\n") else text + "\n")
        self.out.flush()

    def _envelope(
        self, exit_code: int, data: dict[str, Any], messages: tuple[str, ...], errors: Sequence[LlmserveError] = ()
    ) -> None:
        self._enveloped = True
        body = {
            "version": ENVELOPE_VERSION,
            "command": self.command,
            "status": "error" if exit_code else "ok",
            "exit_code": exit_code,
            "data": data,
            "messages": list(messages),
            "errors": [error.as_dict() for error in errors],
        }
        self._line(escaped(json.dumps(body, ensure_ascii=False, indent=2)))
