"""Addresses as people type and paste them, turned into the base URL of an API."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from llmserve.errors import UsageError

__all__ = ["is_loopback", "normalise"]

_TAIL = re.compile(r"/(?:chat/completions|completions|embeddings|responses|models)$")
_HOST = re.compile(r"[^\s/?#@\\<>\[\]^|%\"'`{}]+")
_HINT = "Give an address such as http://127.0.0.1:8000/v1."


def normalise(text: str) -> str:
    """The base URL that ``text`` means, without a slash at its end.

    A missing scheme is http, or https for a public name without a port. A missing path is ``/v1``; a path that names
    one route of the API (``.../v1/chat/completions``) loses it.

    Raises:
        UsageError: ``text`` is no HTTP address.
    """
    text = text.strip()
    parts = _split(text if "://" in text else f"//{text}", shown=text)
    host = parts.hostname or ""
    address = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port is not None else ""
    scheme = parts.scheme or ("https" if _is_public(host) and not port else "http")
    path = parts.path.rstrip("/")
    base = _TAIL.sub("", path).rstrip("/") if path else "/v1"
    return f"{scheme}://{address}{port}{base}"


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to this machine itself, where no proxy has a place."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _split(url: str, *, shown: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known_port = parts.port is None or parts.port > 0
    except ValueError:
        raise _not_an_address(shown) from None
    if "@" in parts.netloc:
        raise UsageError("The address holds a user name or a password.", hint="Put the key into OPENAI_API_KEY.")
    known_scheme = parts.scheme in ("", "http", "https") and not parts.netloc.endswith(":")  # "http:/host" has no "//"
    if not known_scheme or not known_port or not _is_host(parts.hostname):
        raise _not_an_address(shown)
    if parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise UsageError(f"{shown!r} holds more than a base URL.", hint=_HINT)
    return parts


def _not_an_address(shown: str) -> UsageError:
    return UsageError(f"{shown!r} is not the address of an API.", hint=_HINT)


def _is_host(host: str | None) -> bool:
    if not host:
        return False
    if ":" in host or host.replace(".", "").isdigit():
        return _is_ip(host)
    return _HOST.fullmatch(host) is not None and not host.startswith((".", "-"))


def _is_public(host: str) -> bool:
    return "." in host and not host.endswith((".localhost", ".local", ".internal", ".lan")) and not _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
