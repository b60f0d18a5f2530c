"""Access tokens: where they come from, and where the hub's own tools keep them. They are never shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from llmserve.errors import LlmserveError, UsageError
from llmserve.models.hub import access, connection
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.access import LOGIN, TYPED, VARIABLES

_SHAPE = re.compile(r"[!-~]{1,8192}")  # what a header carries
_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True)
class Token:
    """``source``: the variable or the file that it was read from, or ``TYPED``."""

    value: str = field(repr=False)
    source: str


class _Session:
    """A token that was typed for this run."""

    token: Token | None = None


def find() -> Token | None:
    """The token to use: typed in this run, HF_TOKEN, or the login of the hub's own tools (``HF_TOKEN_PATH``).

    Raises:
        UsageError: ``bad_token``: there is one that cannot be one, or cannot be read.
    """
    if _Session.token:
        return _Session.token
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE:
        return None
    if not os.environ.get("HF_OIDC_RESOURCE"):
        for name in VARIABLES:
            if value := os.environ.get(name, "").strip():
                return Token(checked(value, name), name)
    return _stored()


def use(token: Token | None) -> None:
    """Use a token for the rest of this run, before any other; None: none was typed."""
    _Session.token = token


def checked(value: str, source: str) -> str:
    """The token without blanks around it.

    Raises:
        UsageError: ``bad_token``: it holds what no token holds. (The HTTP client would show it when it complains.)
    """
    value = value.strip()
    if not _SHAPE.fullmatch(value):
        what = "The access token" if source == TYPED else f"The access token in {source}"
        raise UsageError(
            f"{what} cannot be one: it holds blanks, line ends or letters beyond ASCII.",
            hint="Copy it again, alone and whole." if source == TYPED else _mend(source),
            code="bad_token", data={"source": source},
        )  # fmt: skip
    return value


def keep(token: Token) -> str:
    """Keep a token as the hub's own tools do, for them and for later runs; returns the file. Asks the hub.

    Raises:
        NeedsAccessError: ``token_rejected``: the hub does not know it.
        LlmserveError: ``not_kept``: the hub has no accounts or cannot be asked, or the file cannot be written.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    connection.silence()
    try:
        huggingface_hub.login(token.value, skip_if_logged_in=False)
    except Exception as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 401:
            raise access.invalid(hub_settings.shown(hub_settings.endpoint()), token.source) from None
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else "the hub cannot check it"
        raise LlmserveError(
            f"The access token could not be kept: {reason}.", hint=f"Run {LOGIN} to keep one.", code="not_kept"
        ) from None
    return str(constants.HF_TOKEN_PATH)


def _stored() -> Token | None:
    """What the hub's own library finds; it renews logins that are about to expire."""
    from huggingface_hub import constants, get_token

    connection.silence()
    path = Path(constants.HF_TOKEN_PATH)
    oidc = bool(os.environ.get("HF_OIDC_RESOURCE"))
    source = "HF_OIDC_RESOURCE" if oidc else str(path) if path.exists() else "the hub's login"
    try:
        value = get_token()
    except Exception as error:  # the library lets pass whatever happens
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UsageError(
            f"The access token in {source} cannot be read: {reason}.", hint=_mend(source), code="bad_token"
        ) from None
    return Token(checked(value, source), source) if value else None


def _mend(source: str) -> str:
    if source in (*VARIABLES, "HF_OIDC_RESOURCE"):
        return f"Correct {source}, or unset it: public models need no token."
    return f"Run {LOGIN} again, or `hf auth logout`: public models need no token."
