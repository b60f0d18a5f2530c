"""The download itself, by the hub's own client in a thread, so that Ctrl-C and progress are ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from llmserve.models.model import Model, Progress

_INTERVAL = 0.2  # seconds between two reports
_PATIENCE = 15.0  # seconds that an interrupted transfer is given to end


class _Cancelled(Exception):  # noqa: N818 - ends the client's threads, never shown
    pass


class _Counter:
    """Bytes that the client reports through its progress bars, of which none is shown."""

    def __init__(self) -> None:
        self.bars: list[_Bar] = []
        self.cancelled = threading.Event()

    @property
    def done(self) -> int:
        """The client runs two byte bars, received and written: the further one counts."""
        return max((int(bar.n) for bar in self.bars if bar.unit == "B"), default=0)

    def bar_class(self) -> type[_Bar]:
        counter = self

        class Bar(_Bar):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.counter = counter
                counter.bars.append(self)

        return Bar


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
        if self.counter.cancelled.is_set():
            raise _Cancelled
        self.n += n or 0

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


def download(hub: Hub, model: Model, progress: Progress | None = None) -> Path:
    """Bring the model's files into the Hugging Face cache; returns the snapshot folder.

    Raises:
        LlmserveError: see ``hub_errors.explain``.
        KeyboardInterrupt: the user interrupted; the transfer has ended and left no unfinished files.
    """
    repo = model.source.repo or ""
    with hub.errors(repo, model.source.revision):
        job = _Job(hub, model)
        job.start()
        try:
            _watch(job, model, progress)
        except BaseException:
            job.cancel()
            raise
        return job.result()


def _watch(job: _Job, model: Model, progress: Progress | None) -> None:
    total = model.missing_bytes
    detail = model.name if len(model.files) == 1 else f"{len(model.files)} files"
    while not job.ended.wait(_INTERVAL):
        if progress:
            progress(min(job.counter.done, total), total, detail)
    if progress and job.error is None:
        progress(total, total, detail)


class _Job(threading.Thread):
    def __init__(self, hub: Hub, model: Model) -> None:
        super().__init__(name="fetch", daemon=True)
        self.hub = hub
        self.model = model
        self.counter = _Counter()
        self.ended = threading.Event()  # Thread.join takes an interrupted thread for an ended one (Python 3.11)
        self.error: BaseException | None = None
        self.path: str | None = None

    def run(self) -> None:
        from huggingface_hub import snapshot_download

        try:
            self.path = snapshot_download(
                self.model.source.repo or "",
                revision=self.model.source.revision,
                cache_dir=hub_settings.cache_folder(),
                endpoint=self.hub.endpoint,
                token=self.hub.token or False,
                allow_patterns=[_literal(file.name) for file in self.model.files],
                tqdm_class=self.counter.bar_class(),
            )
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """End the transfer: no thread may go on downloading behind the user's back."""
        from huggingface_hub import close_session

        self.counter.cancelled.set()
        close_session()
        _abort_xet()
        self.ended.wait(_PATIENCE)

    def result(self) -> Path:
        if self.error is not None:
            raise self.error
        return Path(self.path or "")


def _abort_xet() -> None:
    try:
        from huggingface_hub.utils._xet import abort_xet_session
    except ImportError:  # an older client, or one without Xet
        return
    abort_xet_session()  # type: ignore[no-untyped-call]


def _literal(name: str) -> str:
    """``name`` as a pattern that matches itself alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
