"""Choosing a port before anything is loaded: engines try to bind only after minutes of loading."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Mapping

from llmserve.engine.process import port_owner
from llmserve.errors import LlmserveError, UsageError

DEFAULT_PORT = 30_000
_TRIED = 100


def choose_port(host: str, wanted: int | None, *, reserved: Mapping[int, str] | None = None) -> int:
    """A port that can be bound on ``host`` now: ``wanted``, any free one for 0, or the first free from 30000 for None.

    ``reserved`` ports belong to servers, by their names: some are still loading.

    Raises:
        LlmserveError: the port asked for is taken (says by whom), or no port is free.
        UsageError: ``host`` is no address of this machine, or the port needs privileges.
    """
    reserved = reserved or {}
    if wanted == 0:
        return _any_port(host, reserved)
    if wanted is None:
        free = (port for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIED) if port not in reserved)
        return next((port for port in free if _can_bind(host, port)), None) or _any_port(host, reserved)
    if wanted in reserved or not _can_bind(host, wanted):
        owner = f"the server {reserved[wanted]!r}" if wanted in reserved else port_owner(wanted)
        raise LlmserveError(
            f"Port {wanted} is in use{f' by {owner}' if owner else ''}.",
            hint="Leave --port out to take the next free one, or choose another.",
            code="port_in_use",
        )
    return wanted


def _any_port(host: str, reserved: Collection[int]) -> int:
    while True:
        with _socket(host) as listener:
            _bind(listener, host, 0)
            port = int(listener.getsockname()[1])
        if port not in reserved:
            return port


def _can_bind(host: str, port: int) -> bool:
    with _socket(host) as listener:
        try:
            _bind(listener, host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _bind(listener: socket.socket, host: str, port: int) -> None:
    try:
        listener.bind((host, port))
    except socket.gaierror as error:
        raise UsageError(f"{host!r} is not a host name or address.", hint="Try --host 127.0.0.1.") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{host} is no address of this machine.", hint="Try --host 127.0.0.1.") from error
        if error.errno == errno.EACCES:
            raise UsageError(f"Port {port} needs privileges.", hint="Use a port from 1024 on.") from error
        raise


def _socket(host: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the engines do: TIME_WAIT is not "in use"
    return listener


def hold(host: str, port: int) -> socket.socket | None:
    """Bind the port without listening, so that the system gives it to nobody while the engine loads.

    The engine, which may share it (as may other servers that set SO_REUSEADDR), is not kept out. None where it cannot
    be had: what listens there is found when the engine is to be ready.
    """
    holder = _socket(host)
    try:
        holder.bind((host, port))
    except OSError:
        holder.close()
        return None
    return holder


def numeric(host: str) -> str:
    """``host`` as one numeric address, so that everybody who binds and connects means the same one.

    Raises:
        UsageError: it is no host name or address.
    """
    host = host.removeprefix("[").removesuffix("]")
    try:
        if not host or host.isdigit():
            raise OSError
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"{host!r} is not a host name or address.", hint="Try --host 127.0.0.1.") from error
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])


def check_port(host: str, wanted: int | None, *, reserved: Mapping[int, str]) -> None:
    """Refuse a port that is taken before a download starts; :func:`choose_port` decides later, under the lock."""
    if wanted:
        choose_port(host, wanted, reserved=reserved)
