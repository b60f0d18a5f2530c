"""Who may read a repository: what each refusal of a hub means, and what to do about it.

A hub says the same of a private repository as of one that does not exist, so both are named where both are possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmserve.errors import LlmserveError, NeedsAccessError, UsageError
from llmserve.models import names
from llmserve.models.hub import settings as hub_settings
from llmserve.models.recipes import Recipe, catalogue

LOGIN = "`hf auth login`"
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TYPED = "what was typed"
"""The source of a token that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for, and as whom. ``endpoint`` is fit to be shown; ``source``: where the token came from."""

    repo: str
    revision: str | None
    endpoint: str
    token: bool
    source: str = ""

    @property
    def page(self) -> str:
        return f"{self.endpoint}/{self.repo}"

    @property
    def tokens_page(self) -> str:
        return f"{self.endpoint}/settings/tokens"

    @property
    def its_token(self) -> str:
        return f"the access token in {self.source}" if self.source and self.source != TYPED else "your access token"


def gated(asked: Asked, status: int, said: str = "") -> NeedsAccessError:
    """``said``: the hub's own words, which tell a request that waits from one that nobody made."""
    if not asked.token:
        return _needs(asked, "no_token", status,
            f"{asked.repo} is gated: its licence has to be accepted, and no access token is set",
            f"Accept the licence at {asked.page}, then run {LOGIN}, or set HF_TOKEN to a token from "
            f"{asked.tokens_page}.",
        )  # fmt: skip
    said = said.lower()
    if "fine-grained" in said:
        return _needs(asked, "token_scope", status,
            f"{asked.repo} is gated, and {asked.its_token} may not read gated repositories",
            f"Allow it to read public gated repositories at {asked.tokens_page}.",
        )  # fmt: skip
    if "awaiting" in said or "pending" in said:
        return _needs(asked, "pending", status,
            f"The request of your account for access to {asked.repo} waits for the authors' answer",
            f"It will be shown at {asked.page}.",
        )  # fmt: skip
    if "rejected" in said:
        return _needs(asked, "refused", status,
            f"The authors of {asked.repo} have refused the access that your account asked for",
            f"Their page may say why: {asked.page}.",
        )  # fmt: skip
    return _needs(asked, "not_accepted", status,
        f"{asked.repo} is gated, and the account of {asked.its_token} has not been given access to it",
        f"Accept its licence at {asked.page} with that account, then try again.",
    )  # fmt: skip


def unknown(asked: Asked) -> LlmserveError:
    """The hub denies that the repository exists; to who may not see it, it would say the same."""
    known = _recipe(asked.repo)
    if known and known.gated and not asked.token:
        return _needs(asked, "no_token", 401,
            f"{asked.endpoint} shows {asked.repo}, a gated model, to nobody without an access token",
            f"Accept the licence at {asked.page}, then run {LOGIN}, or set HF_TOKEN to a token from "
            f"{asked.tokens_page}.",
        )  # fmt: skip
    data = {"repo": asked.repo, "nearest": names.nearest(asked.repo), "token": asked.token}
    private = "" if asked.token else ", or it is private and no access token is set"
    return UsageError(
        f"{asked.endpoint} has no model {asked.repo!r}{private}.",
        hint=_elsewhere(asked, known) or f"{names.hint(asked.repo)} {_if_private(asked)}",
        code="unknown_model", data=data,
    )  # fmt: skip


def rejected(asked: Asked, said: str = "", *, public: bool = False) -> NeedsAccessError:
    """A token that the hub does not know. It refuses public models too then; ``public`` says that this is one."""
    expired = "has expired" if "expired" in said.lower() else "is not valid"
    needless = f", and {asked.repo}, which is public, needs none" if public else ""
    return NeedsAccessError(
        f"{asked.its_token[0].upper()}{asked.its_token[1:]} {expired} at {asked.endpoint}{needless}.",
        hint=_renew(asked), code="token_rejected",
        data={"repo": asked.repo, "token": True, "source": asked.source, "public": public},
    )  # fmt: skip


def invalid(endpoint: str, source: str) -> NeedsAccessError:
    """A token that the hub does not know, when nothing but the token was asked about."""
    return rejected(Asked(repo="", revision=None, endpoint=endpoint, token=True, source=source))


def _renew(asked: Asked) -> str:
    if asked.source in VARIABLES:
        return f"Unset {asked.source} (public models need no token), or set it to a token from {asked.tokens_page}."
    if asked.source == TYPED:
        return f"Copy a token whole, from {asked.tokens_page}."
    again = f"Run {LOGIN} again, or `hf auth logout` (public models need no token)"
    return f"{again}; tokens are made at {asked.tokens_page}."


def forbidden(asked: Asked, said: str) -> NeedsAccessError:
    if "fine-grained" in said.lower() and "gated" in said.lower():
        return gated(asked, 403, said)
    words = f" It says: {said}." if said else ""
    return NeedsAccessError(
        f"{asked.endpoint} refuses access to {asked.repo} (403).{words}",
        hint=f"Look at {asked.page} in a browser; a fine-grained token may lack the right to read this model: "
        f"{asked.tokens_page}.",
        code="forbidden", data={"repo": asked.repo, "token": asked.token},
    )  # fmt: skip


def disabled(asked: Asked) -> LlmserveError:
    return LlmserveError(
        f"{asked.endpoint} has disabled access to {asked.repo} for everybody.",
        hint=f"{asked.page} may say why. The known models: `llmserve models`.",
        code="disabled",
    )


def helped_by_a_token(error: LlmserveError) -> bool:
    """Whether somebody who has a token could get further with it: none is set, or the one that is set is not valid."""
    if error.code == "token_rejected":
        return True
    return error.code in ("gated", "unknown_model") and error.data.get("token") is False


def ungated(repo: str) -> str | None:
    """A copy of a gated repository that asks for no token, if a recipe knows one."""
    known = _recipe(repo)
    return known.ungated if known and repo in known.repos else None


def _needs(asked: Asked, reason: str, status: int, text: str, hint: str) -> NeedsAccessError:
    copy = ungated(asked.repo)
    data: dict[str, Any] = {"repo": asked.repo, "page": asked.page, "token": asked.token, "reason": reason}
    if copy:
        hint += f" {copy} is a copy under the same licence that needs no token: name it instead, if that suits you."
    return NeedsAccessError(
        f"{text} ({status}).", hint=hint, code="gated", data=data | ({"ungated": copy} if copy else {})
    )


def _elsewhere(asked: Asked, known: Recipe | None) -> str:
    """A mirror may lack what the hub has."""
    if known is None or asked.endpoint == hub_settings.shown(hub_settings.DEFAULT_ENDPOINT):
        return ""
    return f"{hub_settings.DEFAULT_ENDPOINT} has it: unset HF_ENDPOINT, or have it taken into that mirror."


def _if_private(asked: Asked) -> str:
    if not asked.token:
        return f"If it is private, run {LOGIN} or set HF_TOKEN."
    owner = asked.repo.partition("/")[0]
    return f"If {owner} keeps it private, {asked.its_token} needs the right to read it: {asked.tokens_page}."


def _recipe(repo: str) -> Recipe | None:
    return next((recipe for recipe in catalogue() if repo.lower() in map(str.lower, recipe.repos)), None)
