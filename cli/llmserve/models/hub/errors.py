"""What the hub's client raises, as sentences: an ordered table from exception to error of ours."""

from __future__ import annotations

import errno
from typing import Any

from llmserve.errors import DoesNotFitError, LlmserveError, NeedsAccessError, UsageError
from llmserve.models import names
from llmserve.models.hub import settings as hub_settings

ELSEWHERE = "Serve the built-in model with `llmserve up tiny`, or a local folder; HF_ENDPOINT names another hub."
_AGAIN = "Run the same command again; files that are complete are kept."


def explain(error: Exception, *, repo: str, revision: str | None, endpoint: str, token: bool) -> LlmserveError:
    """The error to raise for what happened while ``repo`` was looked up or fetched at ``endpoint``.

    ``token`` says whether an access token was sent. Nothing secret is in the result.
    """
    from huggingface_hub import errors as hub

    cause = error.__cause__
    if isinstance(error, hub.LocalEntryNotFoundError) and isinstance(cause, Exception):
        return explain(cause, repo=repo, revision=revision, endpoint=endpoint, token=token)
    if isinstance(error, (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError)):
        return offline(repo) if hub_settings.offline() else unreachable(endpoint, error)
    if isinstance(error, hub.GatedRepoError):
        return _gated(repo, endpoint, status=error.response.status_code, token=token)
    if isinstance(error, hub.RepositoryNotFoundError):
        return _unknown(repo, endpoint, status=error.response.status_code, token=token)
    if isinstance(error, hub.RevisionNotFoundError):
        return UsageError(
            f"{repo} has no revision {revision!r}.",
            hint=f"Leave --revision out, or look at {endpoint}/{repo}/tree/main.",
            code="unknown_revision",
        )
    if isinstance(error, hub.HFValidationError):
        return UsageError(f"{repo!r} cannot be the name of a model on a hub.", hint=names.hint(repo))
    if isinstance(error, hub.HfHubHTTPError):
        return _status(error, repo, endpoint, token=token)
    return _other(error, repo, endpoint)


def offline(repo: str) -> LlmserveError:
    return LlmserveError(
        f"HF_HUB_OFFLINE is set, and {repo} is not completely in the cache ({hub_settings.cache_folder()}).",
        hint="Unset HF_HUB_OFFLINE, or serve what is here: `llmserve up tiny`, or a local folder.",
        code="hub_offline",
    )


def unreachable(endpoint: str, error: Exception | None) -> LlmserveError:
    reason = f": {_first_line(error)}" if error is not None and str(error) else ""
    return LlmserveError(
        f"The hub at {endpoint} cannot be reached{reason}.", hint=ELSEWHERE, code="hub_unreachable",
        data={"endpoint": endpoint},
    )  # fmt: skip


def disk_full(path: str, *, needed: int, free: int) -> DoesNotFitError:
    from llmserve.output.text import gib

    return DoesNotFitError(
        f"The download needs {gib(needed)} on disk, and {path} has {gib(free)} free: {gib(needed - free)} are missing.",
        hint="Free some space there, or set HF_HUB_CACHE to a folder on a larger disk.",
        code="disk_full",
        data={"path": path, "needed_bytes": needed, "free_bytes": free, "missing_bytes": needed - free},
    )


def _gated(repo: str, endpoint: str, *, status: int, token: bool) -> NeedsAccessError:
    page = f"{endpoint}/{repo}"
    data: dict[str, Any] = {"repo": repo, "page": page, "token": token}
    if status == 403 or token:
        text = f"{repo} is gated, and the account of your access token has not been given access to it"
        hint = f"Accept its licence at {page} with that account, then try again."
    else:
        text = f"{repo} is gated: its licence has to be accepted, and no access token is set"
        hint = f"Accept the licence at {page}, then run `hf auth login` or set HF_TOKEN."
    return NeedsAccessError(f"{text} ({status}).", hint=hint, code="gated", data=data)


def _unknown(repo: str, endpoint: str, *, status: int, token: bool) -> LlmserveError:
    if status == 401 and token:
        return _rejected(endpoint)
    private = ", or it is private and no access token is set" if not token else ""
    return UsageError(
        f"{endpoint} has no model {repo!r}{private}.", hint=names.hint(repo), code="unknown_model",
        data={"repo": repo, "nearest": names.nearest(repo)},
    )  # fmt: skip


def _rejected(endpoint: str) -> NeedsAccessError:
    return NeedsAccessError(
        f"{endpoint} does not accept your access token.",
        hint="Run `hf auth login` again, or set HF_TOKEN to a valid token (unset it for public models).",
        code="token_rejected",
    )


def _status(error: Any, repo: str, endpoint: str, *, token: bool) -> LlmserveError:
    status: int = error.response.status_code
    if status == 401:
        return _unknown(repo, endpoint, status=status, token=token)
    if status == 403:
        return _forbidden(error, repo, endpoint)
    if status == 429:
        return LlmserveError(
            f"{endpoint} has had too many requests from this address (429).",
            hint="Wait some minutes; with an access token (`hf auth login`) the limit is higher.",
            code="hub_rate_limit",
        )
    answer = f"{endpoint} answered {status} for {repo}"
    if status >= 500:
        text = f"{answer}: it has a fault of its own."
        return LlmserveError(text, hint=f"Try later. {ELSEWHERE}", code="hub_unreachable")
    return LlmserveError(f"{answer}.", hint=f"Look at {endpoint}/{repo} in a browser.", code="hub_error")


def _forbidden(error: Any, repo: str, endpoint: str) -> NeedsAccessError:
    said = f" It says: {_first_line(error.server_message)}." if error.server_message else ""
    return NeedsAccessError(
        f"{endpoint} refuses access to {repo} (403).{said}",
        hint=f"Look at {endpoint}/{repo} in a browser; a fine-grained token may lack the right to read this model.",
        code="forbidden",
    )


def _other(error: Exception, repo: str, endpoint: str) -> LlmserveError:
    import httpx2

    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)):
        return unreachable(endpoint, error)
    if isinstance(error, (httpx2.TransportError, TimeoutError)):
        return LlmserveError(
            f"The connection to the hub at {endpoint} broke: {_first_line(error)}.", hint=_AGAIN, code="hub_interrupted"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DoesNotFitError(
            f"The disk is full: {hub_settings.cache_folder()}.",
            hint="Free some space there, or set HF_HUB_CACHE to a folder on a larger disk.",
            code="disk_full",
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LlmserveError(
            f"The cache {hub_settings.cache_folder()} cannot be written: {error.strerror}.",
            hint="Set HF_HUB_CACHE to a folder that you can write to.",
            code="cache_not_writable",
        )
    return LlmserveError(
        f"{repo} could not be fetched from {endpoint}: {_first_line(error)}.",
        hint=_AGAIN,
        code="hub_error",
    )


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
