"""What can go wrong, as one hierarchy.

    LlmserveError            1  something failed
    ├── UsageError           2  the command line or a file it names is wrong
    ├── DoesNotFitError      3  memory or disk is missing
    ├── NeedsAccessError     4  a token or a licence is missing
    ├── NotReadyError        5  the server did not become ready in time
    ├── ServerDiedError      6  the engine ended by itself
    └── InterruptedByUser  130  Ctrl-C

Each error says in one sentence what happened (``message``) and in one what to type next (``hint``).
"""

from __future__ import annotations

from typing import Any, ClassVar


class LlmserveError(Exception):
    """A fault with a sentence for the user.

    ``code`` is the stable word for scripts; ``data`` carries figures for ``--json`` (never secrets).
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code
        self.data = data or {}

    def as_dict(self) -> dict[str, Any]:
        """The error as it stands in ``errors[]`` of the JSON envelope."""
        shown = {"code": self.code, "message": self.message, "hint": self.hint}
        return shown | ({"data": self.data} if self.data else {})


class UsageError(LlmserveError):
    exit_code = 2
    default_code = "usage"


class BrokenCheckpointError(LlmserveError):
    exit_code = 2
    default_code = "broken_checkpoint"


class DoesNotFitError(LlmserveError):
    exit_code = 3
    default_code = "does_not_fit"


class NeedsAccessError(LlmserveError):
    exit_code = 4
    default_code = "needs_access"


class NotReadyError(LlmserveError):
    exit_code = 5
    default_code = "not_ready"


class ServerDiedError(LlmserveError):
    exit_code = 6
    default_code = "server_died"


class InterruptedByUser(LlmserveError):  # noqa: N818 - an interruption is no error
    exit_code = 130
    default_code = "interrupted"


BY_EXIT_CODE: dict[int, type[LlmserveError]] = {
    kind.exit_code: kind
    for kind in (
        LlmserveError, UsageError, DoesNotFitError, NeedsAccessError, NotReadyError, ServerDiedError, InterruptedByUser,
    )
}  # fmt: skip
