"""What the environment says about the hub, read as the hub's own client reads it, but at the time of the call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_ENDPOINT = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_PATIENCE = 8.0


def endpoint() -> str:
    """The hub that is in use, without a slash at the end. For messages: ``shown``."""
    return (os.environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT).rstrip("/")


def shown(address: str) -> str:
    """An address without the user name and password that may stand in it."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else address.rpartition("@")[2]


def is_address(address: str) -> bool:
    """Whether a hub can be at ``address``: it names a host, and http or https."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def offline_variable(environment: Mapping[str, str] = os.environ) -> str | None:
    """The variable by which the user forbade all traffic with the hub; the first that is set decides."""
    decisive = next((name for name in _OFFLINE if environment.get(name)), None)
    return decisive if decisive and environment[decisive].upper() in _TRUE else None


def offline() -> bool:
    return offline_variable() is not None


def patience() -> float:
    """Seconds in which a hub has to begin its first answer; ``HF_HUB_ETAG_TIMEOUT`` allows slow ones more."""
    try:
        return max(float(os.environ["HF_HUB_ETAG_TIMEOUT"]), 0.1)
    except (KeyError, ValueError):
        return _PATIENCE


def cache_folder() -> Path:
    """The Hugging Face cache, where weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(chosen or f"{home}/hub")).expanduser()
