"""Files that the hub has in Xet storage too: its own client brings them, and is not trusted blindly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.hub.api import Hub
from llmserve.models.hub.crew import Crew
from llmserve.models.hub.download import download
from llmserve.models.hub.large import Large
from tests.fakes.hub import FakeHub, Fault
from tests.unit.models.pulled import CHUNK, HASTY, REPO, Pull, await_end_of_threads, is_complete, made_up_hub, plan_of


@pytest.fixture
def xet(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that says of each large file that it is in Xet storage too."""
    from tests.fakes.hub_server import Exchange

    send = Exchange.send

    def offer(exchange: Exchange, status: int, content: bytes = b"", headers: Any = None) -> None:
        send(exchange, status, content, {**(headers or {}), **({"X-Xet-Hash": "0" * 64} if status == 302 else {})})

    monkeypatch.setattr(Exchange, "send", offer)
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    monkeypatch.setattr("llmserve.models.hub.xet.available", lambda: True)
    with made_up_hub() as hub:
        yield hub


Client = Callable[..., str]


def client_that(bring: Callable[[Path, bytes, Any], None], hub: FakeHub) -> Client:
    """The hub's client, which brings files from Xet in its own way."""

    def hf_hub_download(repo: str, name: str, *, cache_dir: Path, revision: str, tqdm_class: Any, **_: Any) -> str:
        data = hub.repos[repo].files[name][:]
        path = cache_dir / "models--org--made-up" / "snapshots" / revision / name
        blob = path.parent.parent.parent / "blobs" / str(hub.repos[repo].about[name]["lfs"]["oid"])
        for folder in (path.parent, blob.parent):
            folder.mkdir(parents=True, exist_ok=True)
        bring(blob, data, tqdm_class(total=len(data), unit="B"))
        path.symlink_to(f"../../blobs/{blob.name}")
        return str(path)

    return hf_hub_download


def test_xet_is_left_to_the_hubs_client(xet: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(blob: Path, data: bytes, bar: Any) -> None:
        bar.update(len(data))
        blob.write_bytes(data)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", client_that(bring, xet))
    pull = Pull(xet)
    assert is_complete(xet, pull())
    assert pull.events[-1].done_bytes == pull.events[-1].total_bytes
    assert set(xet.served) == {"config.json"}


def test_only_one_thread_leaves_a_file_to_xet(xet: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others look for work between the hub's offer and the end of what was begun."""
    brought: list[str] = []

    def bring(blob: Path, data: bytes, bar: Any) -> None:
        brought.append(blob.name)
        blob.write_bytes(data)

    close = Crew._close

    def later(crew: Crew, large: Large, *, remove: bool = False) -> None:
        with crew._change:
            crew._change.notify_all()
        threading.Event().wait(0.3)
        close(crew, large, remove=remove)

    monkeypatch.setattr(Crew, "_close", later)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", client_that(bring, xet))
    only = ("model-2.safetensors",)
    assert is_complete(xet, Pull(xet)(plan_of(xet, only=only)), only)
    assert len(brought) == 1


@pytest.mark.parametrize("what", ["raises", "wrong"])
def test_where_xet_fails_the_file_is_fetched_as_ever(xet: FakeHub, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(blob: Path, data: bytes, bar: Any) -> None:
        bar.update(len(data) // 2)
        if what == "raises":
            raise RuntimeError("no such storage")
        blob.write_bytes(bytes(len(data)))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", client_that(bring, xet))
    pull = Pull(xet)
    assert is_complete(xet, pull())
    done = [event.done_bytes for event in pull.events]
    assert done == sorted(done)
    assert done[-1] == pull.events[-1].total_bytes


def test_xet_ends_when_the_user_has_had_enough(xet: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def bring(blob: Path, data: bytes, bar: Any) -> None:
        for _ in range(1000):
            begun.set()
            bar.update(1)
            threading.Event().wait(0.01)

    def enough(_: object) -> None:
        if begun.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.hf_hub_download", client_that(bring, xet))
    with pytest.raises(KeyboardInterrupt):
        download(Hub(xet.url), plan_of(xet), enough, patience=HASTY)
    await_end_of_threads()


def test_xet_can_be_refused(xet: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmserve.models.hub import xet as module

    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    assert not module.available()


def test_xet_does_not_take_over_what_has_begun(xet: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(blob: Path, data: bytes, bar: Any) -> None:
        raise AssertionError("not to be called")

    only = ("model-2.safetensors",)
    monkeypatch.setattr("llmserve.models.hub.xet.available", lambda: False)
    xet.fault = Fault(after=CHUNK, times=99, where="cdn/*")
    with pytest.raises(LlmserveError):
        Pull(xet, replace(HASTY, tries=1))(plan_of(xet, only=only))
    monkeypatch.setattr("llmserve.models.hub.xet.available", lambda: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", client_that(bring, xet))
    xet.clear()
    assert is_complete(xet, Pull(xet)(plan_of(xet, only=only)), only)
    assert REPO in xet.repos
