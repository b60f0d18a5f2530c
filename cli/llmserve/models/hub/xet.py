"""Files in Xet storage: the hub's own client fetches them; ours proves their hash, and takes over if that fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from llmserve.models.hub import digest, places
from llmserve.models.hub.exchange import Cancelled
from llmserve.models.hub.job import Job

_TRUE = ("1", "ON", "YES", "TRUE")
_busy: set[object] = set()


def available() -> bool:
    """Whether the hub's client has what Xet needs, and the user lets it."""
    if os.environ.get("HF_HUB_DISABLE_XET", "").upper() in _TRUE:
        return False
    try:
        from huggingface_hub.utils._runtime import is_xet_available
    except ImportError:  # a client that knows no Xet
        return False
    return is_xet_available()


def fetch(job: Job) -> bool:
    """Let the hub's client bring a file, under its own lock. False: it could not, or what came is wrong.

    Raises:
        Cancelled: the download is to end.
        OSError: the disk.
    """
    counter = _Counter(job)
    _busy.add(counter)
    try:
        path = _download(job, counter)
    except Exception as error:
        counter.check()
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            raise
        path = None
    finally:
        _busy.discard(counter)
    if path is None or digest.of_file(job.file, path, counter.check) != digest.expected(job.file):
        _discard(path)
        counter.undo()
        return False
    job.work.meter.end(job.name)
    return True


def abort() -> None:
    """End what the hub's client does in other threads, if anything."""
    if not _busy:
        return
    from huggingface_hub import close_session

    close_session()
    try:
        from huggingface_hub.utils._xet import abort_xet_session
    except ImportError:
        return
    abort_xet_session()  # type: ignore[no-untyped-call]


def _download(job: Job, counter: _Counter) -> Path:
    from huggingface_hub import hf_hub_download

    work = job.work
    path = hf_hub_download(
        work.plan.repo,
        job.name,
        revision=work.plan.commit,
        cache_dir=None if work.plan.plain else places.root(work.plan).parent,
        local_dir=work.plan.folder if work.plan.plain else None,
        endpoint=work.hub.endpoint,
        token=work.hub.token or False,
        tqdm_class=counter.bar_class(),
    )
    return Path(path)


def _discard(path: Path | None) -> None:
    if path is not None:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


class _Counter:
    """Bytes that the client reports through its progress bars, of which none is shown."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._bars: list[_Bar] = []
        self._done = 0
        self._lock = threading.Lock()

    def bar_class(self) -> type[Any]:
        counter = self

        class Bar(_Bar):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.counter = counter
                counter._bars.append(self)

        return Bar

    def check(self) -> None:
        if self.job.work.cancelled.is_set():
            raise Cancelled

    def update(self) -> None:
        """The client runs two bars, of bytes received and bytes written: the further one counts."""
        self.check()
        with self._lock:
            done = min(self.job.size, max((int(bar.n) for bar in self._bars if bar.unit == "B"), default=0))
            self.job.work.meter.received(self.job.name, max(0, done - self._done))
            self._done = max(done, self._done)

    def undo(self) -> None:
        self.job.work.meter.found(self.job.name, -self._done)


class _Bar:
    """What the client takes for a tqdm bar: it counts, and draws nothing."""

    counter: _Counter

    def __init__(self, iterable: Iterable[Any] = (), *_: Any, **options: Any) -> None:
        self.iterable = iterable
        self.unit: str = options.get("unit", "it")
        self.total: float | None = options.get("total")
        self.n: float = options.get("initial") or 0
        self.format_dict: dict[str, Any] = {"rate": None}

    def update(self, n: float | None = 1) -> None:
        self.n += n or 0
        self.counter.update()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Whatever else a bar is asked to draw."""
        return _nothing


def _nothing(*_: object, **__: object) -> None:
    pass
