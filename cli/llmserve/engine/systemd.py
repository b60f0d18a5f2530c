"""What a service manager wants to hear (sd_notify(3)): when the server is ready, what it does, that it ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

_SOCKET = "NOTIFY_SOCKET"


def notify(*assignments: str) -> None:
    """Send ``READY=1`` and the like; nothing where no service manager listens."""
    address = os.environ.get(_SOCKET, "")
    if address[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.connect("\0" + address[1:] if address[0] == "@" else address)
        speaker.send("\n".join(" ".join(one.splitlines()) for one in assignments).encode())


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes that have nothing to say to the service manager."""
    return {
        name: value for name, value in environment.items() if name not in (_SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID")
    }
