"""Asking for an access token where a hub wants one and a person sits at the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from llmserve.errors import LlmserveError
from llmserve.output import Output

if TYPE_CHECKING:
    from llmserve.models.hub.login import Token

T = TypeVar("T")

_TIMES = 3


def with_access(output: Output, work: Callable[[], T], *, foreground: bool = True) -> T:
    """What ``work`` returns. Where a token is wanted for it, ask for one and do it once more; three times at most.

    Nobody is asked with ``--json`` or ``-q``, in a pipe, or in the background: the error is raised as it is. ``work``
    has to look at the hub anew each time (``Hub()``).
    """
    for _ in range(_TIMES):
        try:
            return work()
        except LlmserveError as error:
            if not foreground or not _somebody(output) or not _obtain(output, error):
                raise
    return work()


def _somebody(output: Output) -> bool:
    return output.interactive and sys.stdin.isatty() and output.out.isatty()


def _obtain(output: Output, error: LlmserveError) -> bool:
    """Say what is in the way, and put to use the token that is typed; False if none would help, or none is given."""
    from llmserve.models.hub import access, login

    if not access.helped_by_a_token(error):
        return False
    output.note(f"{error.message}\n  {error.hint}")
    while (typed := _typed()) is not None:
        try:
            token = login.Token(login.checked(typed, access.TYPED), access.TYPED)
            if _wants_it_kept(output):
                _keep(output, token)
        except LlmserveError as wrong:
            if wrong.code not in ("bad_token", "token_rejected"):
                raise
            output.note(f"{wrong.message} {wrong.hint}")
            continue
        login.use(token)
        return True
    return False


def _typed() -> str | None:
    """What was typed without being shown; None for nothing."""
    try:
        return getpass.getpass("Access token (not shown; Enter alone to give up): ").strip() or None
    except EOFError:
        return None


def _wants_it_kept(output: Output) -> bool:
    output.err.write("Keep it on this machine, as `hf auth login` does? [y/N] ")
    output.err.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _keep(output: Output, token: Token) -> None:
    """A token that cannot be kept is still good for this once; one that the hub does not know is not."""
    from llmserve.models.hub import access, login

    try:
        output.note(f"Kept in {login.keep(token)}.")
    except LlmserveError as error:
        if error.code != "not_kept":
            raise
        output.note(f"{error.message} It is used this once.")
    name = next((name for name in access.VARIABLES if os.environ.get(name)), None)
    if name:
        output.note(f"{name} is set and comes first: unset it for the kept token to be used.")
