"""How many requests a server works on now, from the engine's own metrics."""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmserve.engine.base import Address

_MOST_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests that are being answered, and those that wait for their turn."""

    running: int
    queued: int

    @property
    def total(self) -> int:
        return self.running + self.queued


def load(address: Address, names: tuple[str, str], *, api_key: str | None, timeout: float = 1.0) -> Load | None:
    """Ask ``/metrics`` for the gauges ``names`` (running, queued); None where there is no answer within ``timeout``
    seconds, or none that tells. Proxies are never asked.
    """
    connection = http.client.HTTPConnection(address.client_host, address.port, timeout=timeout)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {api_key}"} if api_key else {})
        response = connection.getresponse()
        text = response.read(_MOST_BYTES).decode("utf-8", "replace") if response.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return parse(text, names)


def parse(text: str, names: Sequence[str]) -> Load | None:
    """The two gauges summed over their labels; None where one is missing."""
    values = [_sum(text, name) for name in names]
    if len(values) != 2 or values[0] is None or values[1] is None:
        return None
    return Load(running=round(values[0]), queued=round(values[1]))


def _sum(text: str, name: str) -> float | None:
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^\n]*\}})? ([\d.eE+-]+)", text, re.MULTILINE)
    return sum(float(value) for value in found) if found else None
