"""The process beside an engine: starts it, keeps its log and record, begins it again, and ends it whole.

``llmserve up`` starts one keeper per server, in a session of its own, and speaks with it over two pipes, so that
nothing secret stands in an argument list:

    stdin    one JSON :class:`~llmserve.engine.launch.Request`, then orders. End of file means that ``up`` is gone: the
             server goes too, unless it was detached.
    stdout   JSON lines: ``progress``, ``ready``, ``restarting``, ``eased``, ``failed``, ``stopped``.

Other commands give their orders through a named pipe (:mod:`~llmserve.engine.orders`). SIGTERM and SIGINT stop the
server as ``llmserve stop`` does; SIGHUP is ignored, since terminals close. If the keeper itself is killed, the kernel
ends the engine. Requests never pass through it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from llmserve.engine import orders, registry
from llmserve.engine.launch import Request
from llmserve.engine.orders import Order
from llmserve.engine.supervisor import Supervisor
from llmserve.records import from_json


def main() -> int:
    os.umask(0o077)
    line = sys.stdin.readline()
    if not line:  # `up` found that it needs no keeper
        return 0
    request = from_json(Request, json.loads(line))
    held = registry.hold(Path(request.server.directory))
    os.dup2(held.fileno(), sys.stderr.fileno())
    supervisor = Supervisor(request)
    _listen(supervisor)
    return supervisor.run()


def _listen(supervisor: Supervisor) -> None:
    """Signals and words, from wherever they come, become events."""

    def stop(*_: object) -> None:
        supervisor.events.put(Order(verb="stop", forget=not supervisor.server.detached))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for name, source in (
        ("words", _words(supervisor)),
        ("orders", orders.listen(Path(supervisor.server.directory))),
    ):
        threading.Thread(target=_pass_on, args=(source, supervisor), name=name, daemon=True).start()


def _pass_on(source: Iterator[Order], supervisor: Supervisor) -> None:
    for order in source:
        supervisor.events.put(order)


def _words(supervisor: Supervisor) -> Iterator[Order]:
    """What `up` says; its end, when it has not left the server alone, is an order too."""
    for line in sys.stdin:
        order = orders.parse(line)
        if order and order.verb == "detach":
            supervisor.detach()
        elif order:
            yield order
    if not supervisor.server.detached:
        yield Order(verb="stop", forget=True)


if __name__ == "__main__":
    sys.exit(main())
