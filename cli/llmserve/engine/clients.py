"""Who is connected to a server: programs of this machine by name, others by address."""

from __future__ import annotations

import contextlib
from typing import Any

MOST = 8
"""Clients that are named; a busy server has hundreds."""


def connected(port: int) -> tuple[str, ...]:
    """``curl (pid 4711)`` or ``10.0.0.7`` for each open connection to TCP ``port``; none where the system does not
    tell this user.
    """
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
        owners = {one.laddr: one.pid for one in found if one.pid}
        names = [_name(one, owners.get(one.raddr)) for one in found if one.laddr and one.laddr.port == port]
        return tuple(dict.fromkeys(sorted(names)))[:MOST]
    return ()


def _name(connection: Any, pid: int | None) -> str:
    import psutil

    if pid is not None:
        with contextlib.suppress(psutil.Error):
            return f"{psutil.Process(pid).name()} (pid {pid})"
    return str(connection.raddr.ip).removeprefix("::ffff:") if connection.raddr else "?"
