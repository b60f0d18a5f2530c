"""A hub on loopback: as much of the Hugging Face Hub's protocol as its own client uses, serving files from memory.

The real client runs against it through ``HF_ENDPOINT``. Requests and the bytes of file bodies are counted, and faults
come on demand (``Fault``).
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue

from tests.fakes.hub_content import Content, Hollow, Repo, folder
from tests.fakes.hub_faults import ALWAYS, Fault, Faults
from tests.fakes.hub_routes import Routes
from tests.fakes.hub_server import Exchange, Server

__all__ = ["ALWAYS", "Content", "FakeHub", "Fault", "Hollow", "Repo", "folder"]


Process = subprocess.Popen[str]


class FakeHub:
    """``with FakeHub({"org/name": Repo(...)}) as hub: ...``; ``tokens`` are those that the hub knows at all.

    Every request waits ``latency`` seconds for its answer, the one that is redirected as well as the one after it.
    ``rate`` limits the bytes of all bodies per second, and ``link_life`` the seconds for which a signed address of a
    large file is good. With ``relay`` small files are redirected too, within the hub, as the real one does it.
    ``skew`` is by how many seconds its clock goes wrong; ``leap`` puts it on, so that all signed addresses end, and
    ``stale`` counts the answers that said so. ``opened`` counts connections, ``served`` the bytes of bodies by file
    name, and ``sent`` says which ones: (name, first, end). What a client may never do, such as to send its token to
    the other origin, is raised at the end.
    """

    def __init__(self, repos: Mapping[str, Repo], *, tokens: set[str] | None = None, latency: float = 0.0) -> None:
        self.repos = dict(repos)
        self.tokens = tokens or set()
        self.faults = Faults()
        self.latency = latency
        self.rate: float | None = None
        self.link_life = 3600.0
        self.skew = 0.0
        self.relay = False
        self.opened = self.stale = 0
        self.requests: list[str] = []
        self.served: Counter[str] = Counter()
        self.sent: list[tuple[str, int, int]] = []
        self.wrongs: list[BaseException] = []
        self.stopped = threading.Event()
        self._routes = Routes(self)
        self._actions: list[tuple[int, Callable[[], object]]] = []
        self._next = 0.0
        self._lock = threading.Lock()
        self._front, self._cdn = Server(self), Server(self)

    @property
    def fault(self) -> Fault:
        """The only fault; to set it takes the place of all others."""
        if not self.faults.all:
            self.faults.all.append(Fault())
        return self.faults.all[0]

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self.faults.all = [fault]

    @property
    def url(self) -> str:
        return self._front.url

    @property
    def cdn(self) -> str:
        """Large files come from another origin, to which the client must not send the token."""
        return self._cdn.url

    @property
    def total(self) -> int:
        """Bytes of file bodies that were served."""
        with self._lock:
            return sum(self.served.values())

    def __enter__(self) -> FakeHub:
        self._front.thread.start()
        self._cdn.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._front.stop()
        self._cdn.stop()
        for wrong in self.wrongs:
            raise wrong

    @contextmanager
    def vacant(self) -> Iterator[None]:
        """Keep the address of a hub that has ended, so that nobody else moves in while it is asked."""
        with socket.socket() as placeholder:
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            placeholder.bind(self._front.server_address)
            yield

    def at(self, total: int, action: Callable[[], object]) -> None:
        """Call ``action`` in the moment in which ``total`` bytes of bodies have been served."""
        self._actions = sorted([*self._actions, (total, action)], key=lambda item: item[0])

    def strike(self, total: int, number: signal.Signals, start: Callable[[], Process]) -> Process:
        """A process that gets a signal when ``total`` bytes have been served, which is arranged before it starts."""
        started: SimpleQueue[Process] = SimpleQueue()
        self.at(total, lambda: started.get().send_signal(number))
        process = start()
        started.put(process)
        return process

    def clear(self) -> None:
        """Forget what was asked, served and planned to go wrong."""
        with self._lock:
            self.faults.all, self._actions, self.rate = [], [], None
            self.requests.clear()
            self.served.clear()
            self.sent.clear()

    def now(self) -> float:
        return time.time() + self.skew

    def leap(self) -> None:
        """Let signed addresses that were given so far end, without waiting for that."""
        self.skew += 2 * self.link_life

    def goes_stale(self) -> None:
        with self._lock:
            self.stale += 1

    def opens(self) -> None:
        with self._lock:
            self.opened += 1

    def count(self, name: str, size: int) -> None:
        with self._lock:
            self.served[name] += size
            due: list[tuple[int, Callable[[], object]]] = []
            if self._actions:
                done = sum(self.served.values())
                due = [item for item in self._actions if item[0] <= done]
                self._actions = self._actions[len(due) :]
        for _, action in due:
            action()

    def pace(self, size: int) -> None:
        if not self.rate:
            return
        with self._lock:
            now = time.monotonic()
            self._next = max(now, self._next) + size / self.rate
            pause = self._next - now
        self.stopped.wait(pause)

    def answer(self, exchange: Exchange) -> None:
        self.requests.append(f"{exchange.method} /{exchange.path}")
        self._routes.answer(exchange)
