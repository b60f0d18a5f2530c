"""What can go wrong with a transfer, as sentences."""

from __future__ import annotations

import errno
from pathlib import Path

from llmserve.errors import DoesNotFitError, LlmserveError, NeedsAccessError
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.patience import Hiccup
from llmserve.output.text import printable

_AGAIN = "Run the same command again: what has been fetched is kept."
_DISTRUST = "Nothing was written. Do not trust this repository, or this hub."


def gave_up(name: str, endpoint: str, hiccup: Hiccup, tries: int) -> LlmserveError:
    """``tries`` attempts at a file failed, the last one by ``hiccup``."""
    where = hub_settings.shown(endpoint)
    if hiccup.code == "hub_unreachable":
        text = f"{where} cannot be reached any more: {hiccup.reason}."
    elif hiccup.code == "hub_rate_limit":
        text = f"{where} has had too many requests from this address: {hiccup.reason}."
    else:
        text = f"{_shown(name)} could not be fetched from {where}: {hiccup.reason} ({tries} attempts)."
    return LlmserveError(text, hint=_AGAIN, code=hiccup.code, data={"file": name, "endpoint": where})


def wrong_content(name: str, endpoint: str, expected: str, found: str) -> LlmserveError:
    where = hub_settings.shown(endpoint)
    return LlmserveError(
        f"{_shown(name)} as {where} sends it is not the file that it lists: its hash is wrong, three times over.",
        hint=f"Try later; if it stays so, tell the authors at {where}. The other files are kept.",
        code="wrong_hash",
        data={"file": name, "expected": expected, "found": found},
    )


def gone(name: str, endpoint: str) -> LlmserveError:
    where = hub_settings.shown(endpoint)
    return LlmserveError(
        f"{where} lists {_shown(name)} but does not have it (404).",
        hint="Try later, or leave it out with --exclude.",
        code="file_gone",
        data={"file": name},
    )


def unsafe(name: str, reason: str) -> LlmserveError:
    return LlmserveError(
        f"The repository has a file whose name is refused, as it {reason}: {_shown(name)!r}.",
        hint=_DISTRUST,
        code="unsafe_name",
    )


def absurd_size(name: str, size: int) -> LlmserveError:
    return LlmserveError(
        f"The hub says that {_shown(name)} has {size} bytes, which cannot be.", hint=_DISTRUST, code="absurd_size"
    )


def leads_outside(path: Path) -> LlmserveError:
    return LlmserveError(
        f"{path} is a symbolic link, where a folder of the model's own should be; nothing was written through it.",
        hint="Remove the link, then run the same command again.",
        code="unsafe_link",
    )


def untrusted(host: str, reason: str) -> LlmserveError:
    return LlmserveError(
        f"The certificate of {host} is not trusted: {reason}.",
        hint="Set SSL_CERT_FILE to the certificates of your network, if a proxy of it stands between.",
        code="bad_certificate",
    )


def told(error: BaseException, folder: Path) -> BaseException:
    """What a thread ended with, as an error to raise. The hub's client makes its own errors look like the system's."""
    return on_disk(error, folder) if isinstance(error, OSError) and error.errno is not None else error


def on_disk(error: OSError, folder: Path) -> LlmserveError:
    """The error for what a disk refused while files were written below ``folder``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DoesNotFitError(
            f"The disk is full: {folder}.",
            hint="Free some space there, then run the same command again: what has been fetched is kept.",
            code="disk_full",
            data={"path": str(folder)},
        )
    where = error.filename if isinstance(error.filename, str) else str(folder)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LlmserveError(
            f"{where} cannot be written: {error.strerror}.",
            hint="Set HF_HUB_CACHE to a folder that you can write to.",
            code="cache_not_writable",
        )
    return LlmserveError(f"{where} cannot be written: {error.strerror or error}.", hint=_AGAIN, code="disk_error")


def no_access(name: str, endpoint: str, status: int) -> NeedsAccessError:
    where = hub_settings.shown(endpoint)
    return NeedsAccessError(
        f"{where} lists {_shown(name)} but refuses to send it ({status}).",
        hint="Run `hf auth login`, or set HF_TOKEN to a token that may read this model.",
        code="forbidden",
    )


def _shown(name: str) -> str:
    return printable(name.encode("utf-8", "backslashreplace").decode()[:120])
