"""The proxy on the way to a host, as the environment names it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, less NO_PROXY."""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from llmserve.addresses import is_loopback
from llmserve.errors import UsageError


def proxy_of(parts: SplitResult) -> str | None:
    """The address of the proxy for a host, with its password; None where there is none."""
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    found = getproxies()
    address = found.get(parts.scheme) or found.get("all")
    if not address:
        return None
    address = address if "://" in address else f"http://{address}"
    if urlsplit(address).scheme != "http":
        raise UsageError(
            f"A proxy of the kind {urlsplit(address).scheme!r} cannot be used.",
            hint="Write HTTPS_PROXY=http://host:port, or unset it; NO_PROXY lists hosts that need none.",
            code="bad_proxy",
        )
    return address


def target(parts: SplitResult, proxy: str | None) -> str:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"http://{parts.netloc.rpartition('@')[2]}{path}" if proxy and parts.scheme == "http" else path


def headers_for(parts: SplitResult, proxy: str | None) -> dict[str, str]:
    return credentials(urlsplit(proxy)) if proxy and parts.scheme == "http" else {}


def credentials(proxy: SplitResult) -> dict[str, str]:
    """What a proxy wants to see, if its address has a user's name in it."""
    return {"Proxy-Authorization": basic(proxy)} if proxy.username is not None else {}


def basic(address: SplitResult) -> str:
    pair = f"{unquote(address.username or '')}:{unquote(address.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
