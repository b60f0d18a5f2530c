"""What the hub's client raises, as sentences: an ordered table from exception to error of ours."""

from __future__ import annotations

import errno
import re
from typing import Any

from llmserve.errors import DoesNotFitError, LlmserveError, UsageError
from llmserve.models import names
from llmserve.models.hub import access, answers, connection
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.access import Asked

ELSEWHERE = (
    "HF_ENDPOINT names another hub. What is in the cache, a local folder and `llmserve up tiny` are served without one."
)
_AGAIN = "Run the same command again; files that are complete are kept."
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_NO_NAME = ("name or service not known", "name resolution", "nodename nor servname", "no address associated")


def explain(
    error: Exception, *, repo: str, revision: str | None, endpoint: str, token: bool, source: str = ""
) -> LlmserveError:
    """The error to raise for what happened while ``repo`` was looked up or fetched at ``endpoint``.

    ``token`` says whether an access token was sent, and ``source`` where it was found. Nothing secret is in the result.
    """
    from huggingface_hub import errors as hub

    cause = error.__cause__
    if isinstance(error, hub.LocalEntryNotFoundError) and isinstance(cause, Exception):
        return explain(cause, repo=repo, revision=revision, endpoint=endpoint, token=token, source=source)
    shown = hub_settings.shown(endpoint)
    asked = Asked(repo=repo, revision=revision, endpoint=shown, token=token, source=source)
    if isinstance(error, (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError)):
        return offline(repo) if hub_settings.offline() else unreachable(endpoint, error)
    if isinstance(error, hub.HFValidationError):
        return UsageError(f"{repo!r} cannot be the name of a model on a hub.", hint=names.hint(repo))
    if isinstance(error, hub.HfHubHTTPError):
        return _refusal(error, asked)
    return _other(error, repo, endpoint)


def said(error: Any) -> str:
    """The hub's own words in a refusal."""
    return first_line(error.server_message) if getattr(error, "server_message", None) else ""


def rejects_token(error: Exception) -> bool:
    """Whether the hub took offence at the token that was sent: for want of rights it would answer 403 or 404."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    if not isinstance(error, HfHubHTTPError) or error.response.status_code != 401:
        return False
    return not isinstance(error, GatedRepoError) or "credentials" in said(error)


def no_address(endpoint: str) -> UsageError:
    shown = hub_settings.shown(endpoint)
    meant = f"https://{shown.rpartition('//')[2] or 'hub.example.org'}"
    return UsageError(
        f"HF_ENDPOINT is not the address of a hub: {shown!r}.",
        hint=f"Write it with its scheme, such as {meant}, or unset it.",
        code="bad_endpoint",
    )


def offline(repo: str) -> LlmserveError:
    variable = hub_settings.offline_variable() or "HF_HUB_OFFLINE"
    return LlmserveError(
        f"{variable} is set, and {repo} is not completely in the cache ({hub_settings.cache_folder()}).",
        hint=f"Unset {variable}, or serve what is here: `llmserve up tiny`, or a local folder.",
        code="hub_offline",
    )


def unreachable(endpoint: str, error: Exception | None) -> LlmserveError:
    shown, between = hub_settings.shown(endpoint), connection.proxy(endpoint)
    through = f" through the proxy {between}" if between else ""
    if error is not None and "CERTIFICATE" in str(error):
        return _untrusted(shown, through, error)
    return LlmserveError(
        f"The hub at {shown} cannot be reached{through}{_reason(error)}.", hint=ELSEWHERE, code="hub_unreachable",
        data={"endpoint": shown},
    )  # fmt: skip


def disk_full(path: str, *, needed: int, free: int) -> DoesNotFitError:
    from llmserve.output.text import gib

    return DoesNotFitError(
        f"The download needs {gib(needed)} on disk, and {path} has {gib(free)} free: {gib(needed - free)} are missing.",
        hint="Free some space there, or set HF_HUB_CACHE to a folder on a larger disk.",
        code="disk_full",
        data={"path": path, "needed_bytes": needed, "free_bytes": free, "missing_bytes": needed - free},
    )


def _refusal(error: Any, asked: Asked) -> LlmserveError:
    """An answer of the hub that says no; its code comes before its number."""
    from huggingface_hub import errors as hub

    status: int = error.response.status_code
    words = said(error)
    if isinstance(error, hub.DisabledRepoError):
        return access.disabled(asked)
    if isinstance(error, hub.RevisionNotFoundError):
        return _no_revision(asked)
    if isinstance(error, hub.RemoteEntryNotFoundError):
        return LlmserveError(
            f"{asked.endpoint} lists a file of {asked.repo} that it does not have.", hint=_AGAIN, code="hub_error"
        )
    if asked.token and rejects_token(error):
        return access.rejected(asked, words)
    if isinstance(error, hub.GatedRepoError):
        return access.gated(asked, status, words)
    if isinstance(error, hub.RepositoryNotFoundError) or status == 401:
        return access.unknown(asked)
    if status == 403:
        return access.forbidden(asked, words)
    return _status(error.response, status, asked)


def _no_revision(asked: Asked) -> UsageError:
    return UsageError(
        f"{asked.repo} has no revision {asked.revision!r}.",
        hint=f"Leave --revision out, or look at {asked.page}/tree/main.",
        code="unknown_revision",
    )


def _status(response: Any, status: int, asked: Asked) -> LlmserveError:
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        pause = f"Wait {wait} s" if wait.isdigit() else "Wait some minutes"
        return LlmserveError(
            f"{asked.endpoint} has had too many requests from this address (429).",
            hint=f"{pause}; with an access token ({access.LOGIN}) the limit is higher.",
            code="hub_rate_limit",
        )
    answer = f"{asked.endpoint} answered {status} for {asked.repo}"
    if status in (407, 511):
        return LlmserveError(
            f"{answer}: this network wants a login first.", hint="Open any page in a browser.", code="hub_unreachable"
        )
    if status >= 500:
        text = f"{answer}: it has a fault of its own."
        return LlmserveError(text, hint=f"Try later. {ELSEWHERE}", code="hub_unreachable")
    mirror = (
        "" if asked.endpoint == hub_settings.DEFAULT_ENDPOINT else "; HF_ENDPOINT may name something that is no hub"
    )
    return LlmserveError(f"{answer}.", hint=f"Look at {asked.page} in a browser{mirror}.", code="hub_error")


def _other(error: Exception, repo: str, endpoint: str) -> LlmserveError:
    import httpx2

    shown = hub_settings.shown(endpoint)
    if isinstance(error, httpx2.TooManyRedirects):
        return answers.bad(endpoint, "redirects in a circle")
    if isinstance(error, httpx2.DecodingError):
        return answers.bad(endpoint, "sends what cannot be decompressed")
    if isinstance(error, httpx2.InvalidURL) or (isinstance(error, httpx2.RemoteProtocolError) and "URL" in str(error)):
        return answers.bad(endpoint, "redirects to what is no address")
    if isinstance(error, httpx2.UnsupportedProtocol):
        return answers.bad(endpoint, "redirects to what is no web address")
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        return unreachable(endpoint, error)
    if isinstance(error, httpx2.TransportError):
        return LlmserveError(
            f"The connection to the hub at {shown} broke: {first_line(error)}.", hint=_AGAIN, code="hub_interrupted"
        )
    if isinstance(error, TimeoutError):
        return unreachable(endpoint, error)
    if isinstance(error, OSError) and error.errno is not None:
        return _disk(error, repo)
    return LlmserveError(
        f"{repo} could not be fetched from {shown}: {first_line(error)}.",
        hint=_AGAIN,
        code="hub_error",
    )


def _disk(error: OSError, repo: str) -> LlmserveError:
    folder = hub_settings.cache_folder()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DoesNotFitError(
            f"The disk is full: {folder}.",
            hint="Free some space there, or set HF_HUB_CACHE to a folder on a larger disk.",
            code="disk_full",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LlmserveError(
            f"The cache {folder} cannot be written: {error.strerror}.",
            hint="Set HF_HUB_CACHE to a folder that you can write to.",
            code="cache_not_writable",
        )
    return LlmserveError(f"{repo} could not be fetched: {first_line(error)}.", hint=_AGAIN, code="hub_error")


def _untrusted(shown: str, through: str, error: Exception) -> LlmserveError:
    reason = str(error).partition("verify failed: ")[2].partition(" (_ssl")[0] or "it cannot be verified"
    return LlmserveError(
        f"The certificate of the hub at {shown}{through} is not trusted: {reason}.",
        hint="Where a company's proxy or mirror signs for itself, name its certificate: SSL_CERT_FILE=/path/to/ca.pem.",
        code="hub_unreachable", data={"endpoint": shown},
    )  # fmt: skip


def _reason(error: Exception | None) -> str:
    """Why there is no connection, as people say it; what follows a colon."""
    text = first_line(error) if error is not None and str(error) else ""
    if isinstance(error, TimeoutError):
        return f": it did not answer within {hub_settings.patience():g} s"
    if any(known in text.lower() for known in _NO_NAME):
        return ": its name cannot be resolved"
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return ": it does not speak TLS, so that its address would begin with http://"
    return f": {text}" if text else ""


def first_line(error: object) -> str:
    """An error's text, cut to what fits a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _ERRNO.sub("", lines[0][:200]).rstrip(".") if lines else type(error).__name__
