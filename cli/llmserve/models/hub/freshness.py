"""Whether a branch still stands for the commit that is cached: one small question, asked without the heavy client.

Its answer is trusted only where it is plain. After anything else (a login is wanted, the commit is another one, nobody
answers) the full question follows, whose errors have sentences.
"""

from __future__ import annotations

import os
import re
import socket
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from llmserve import __version__
from llmserve.models.hub.plan import FetchPlan

_PATIENCE = 4.0  # seconds
_LONGEST = 65536  # bytes of an answer's head
_GOOD = re.compile(r"HTTP/1\.[01] [23]\d\d(?: .*)?")


def unchanged(endpoint: str, plan: FetchPlan) -> bool:
    """Whether the hub says, to somebody without a token, that ``plan.revision`` is ``plan.commit``."""
    smallest = min(plan.files, key=lambda file: file.size_bytes)
    url = f"{endpoint}/{plan.repo}/resolve/{quote(plan.revision, safe='')}/{quote(smallest.name)}"
    answers: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=lambda: answers.put(_answer(url)), daemon=True).start()
    try:
        return answers.get(timeout=_PATIENCE) == plan.commit
    except Empty:  # name resolution knows no time limit of its own
        return False


def _answer(url: str) -> str | None:
    try:
        return _commit(url)
    except (OSError, ValueError):
        return None


def _commit(url: str) -> str | None:
    """What the first answer names; where that leads to does not matter."""
    parts = urlsplit(url)
    if _needs_proxy(parts):
        from llmserve.models.hub import behind_proxy

        return behind_proxy.commit(url, timeout=_PATIENCE)
    with _connection(parts) as line:
        line.sendall(_question(parts).encode("ascii"))
        return _named(_head(line))


def _needs_proxy(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    return not loopback and any(name.lower() in (f"{parts.scheme}_proxy", "all_proxy") for name in os.environ)


def _connection(parts: SplitResult) -> socket.socket:
    """Sockets alone: the standard library's client takes longer to import than the hub to answer."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    address: Any = host.encode("ascii"), parts.port or (443 if secure else 80)  # bytes: the codec for others is slow
    line = socket.create_connection(address, _PATIENCE)
    if not secure:
        return line
    import ssl

    return ssl.create_default_context().wrap_socket(line, server_hostname=host)


def _question(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    lines = (f"HEAD {parts.path} HTTP/1.1", f"Host: {host}", f"User-Agent: llmserve/{__version__}", "Connection: close")
    return "\r\n".join((*lines, "", ""))


def _head(line: socket.socket) -> str:
    """An answer as far as its empty line, or as far as is sensible."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST:
        piece = line.recv(_LONGEST)
        if not piece:
            break
        head += piece
    return head.partition(b"\r\n\r\n")[0].decode("latin-1")


def _named(head: str) -> str | None:
    """The commit that a good answer, or a redirect, names."""
    status, *fields = head.split("\r\n")
    if _GOOD.fullmatch(status) is None:
        return None
    found = (field.partition(":") for field in fields)
    return next((value.strip() for name, _, value in found if name.lower() == "x-repo-commit"), None)
