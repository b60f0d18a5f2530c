"""Readiness that a user can rely on: our own process answers a real completion at the address the user gets."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from llmserve.engine.base import Address, Failure
from llmserve.engine.process import listens, port_owner

_MOST_BYTES = 4 << 20
_QUICK, _GENERATION = 5.0, 300.0
"""Seconds: an answer from a status route; the first token of an engine that still compiles kernels."""


class ForeignListenerError(Exception):
    """The port answers, and it is not our engine. Engines print "ready" even then: their warm-up asks the other one."""

    def __init__(self, port: int) -> None:
        owner = port_owner(port)
        super().__init__(port)
        self.failure = Failure(
            code="port_in_use",
            message=f"Port {port} was taken{f' by {owner}' if owner else ''} while the model was loading.",
            hint="Run the command again; without --port the next free port is taken.",
            exit_code=1,
            rank=100,
        )


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """``processes`` lists our engine's tree as it is now. Proxies are never asked: the address is this machine's."""

    address: Address
    ready_path: str
    model: str
    api_key: str | None
    processes: Callable[[], list[psutil.Process]]

    def check(self, *, within: float = _GENERATION) -> bool:
        """Whether the server is ready now; takes no longer than ``within`` seconds per request.

        Nothing is sent, the key least of all, before a process of ours is known to listen.

        Raises:
            ForeignListenerError: another program owns the port.
        """
        if not self._listening() or not self._ours():
            return False
        try:
            status, _ = self.request("GET", self.ready_path, timeout=min(_QUICK, within))
            # 404: an older engine without this route; the completion decides
            return status in (200, 404) and self._generates(within)
        except (OSError, http.client.HTTPException):
            return False

    def info(self, path: str) -> dict[str, Any]:
        """The engine's own info route as a dict; empty when there is none."""
        try:
            status, body = self.request("GET", path)
            found = json.loads(body) if status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def request(self, method: str, path: str, body: object = None, timeout: float = _QUICK) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.address.client_host, self.address.port, timeout=timeout)
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES)
        finally:
            connection.close()

    def _listening(self) -> bool:
        family = socket.AF_INET6 if ":" in self.address.client_host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(_QUICK)
            return probe.connect_ex((self.address.client_host, self.address.port)) == 0

    def _ours(self) -> bool:
        """Whether one of our processes is the listener; False while ours are ending."""
        family = self.processes()
        if any(listens(process, self.address.port) for process in family):
            return True
        if family and self._listening() and not any(listens(one, self.address.port) for one in self.processes()):
            raise ForeignListenerError(self.address.port)
        return False

    def _generates(self, within: float) -> bool:
        """One token by chat, or by completion where there is no chat template. A model that does neither (embeddings)
        says so with an error of its own, which is an answer as well; a refused key is not."""
        one = {"model": self.model, "max_tokens": 1, "temperature": 0}
        chat = {**one, "messages": [{"role": "user", "content": "hi"}]}
        status, _ = self.request("POST", "/v1/chat/completions", chat, within)
        if status in (400, 404, 422, 501):
            status, _ = self.request("POST", "/v1/completions", {**one, "prompt": "hi"}, within)
        return status in (200, 400, 404, 422, 501)
