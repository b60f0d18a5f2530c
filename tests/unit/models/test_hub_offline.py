"""Without a hub, or with one that is far, silent, or behind something: what is here is served, the rest is said."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import huggingface_hub
import pytest

from llmserve.errors import LlmserveError
from llmserve.models import describe, fetch, is_cached, resolve
from llmserve.models.hub import api
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from tests.fakes.hub import FakeHub
from tests.fakes.scripted import Answer, about, black_hole, scripted

JSON = {"Content-Type": "application/json"}


def unreachable(endpoint: str | None = None, **options: Any) -> tuple[LlmserveError, float]:
    """What is said of a hub, and after how many seconds."""
    began = time.monotonic()
    with closing(Hub(endpoint, **options)) as hub, pytest.raises(LlmserveError) as caught:
        hub.listing("org/x")
    return caught.value, time.monotonic() - began


def cached(hub: FakeHub, repo: str) -> None:
    """Bring a repository into the cache as any tool of the hub does it."""
    huggingface_hub.snapshot_download(
        repo, cache_dir=hub_settings.cache_folder(), endpoint=hub.url, token=os.environ.get("HF_TOKEN", False)
    )
    hub.requests.clear()


@pytest.fixture
def hole(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with black_hole() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url


REFS = ["org/tiny", "org/tiny-GGUF"]


@pytest.mark.parametrize("ref", REFS)
def test_a_cached_model_asks_nobody(hub: FakeHub, ref: str) -> None:
    cached(hub, ref)
    candidate = resolve(ref)
    assert is_cached(candidate)
    model = describe(candidate, candidate.formats[0])
    assert fetch(model).exists()
    assert (hub.requests, hub.opened > 0) == ([], True)


@pytest.mark.parametrize("ref", REFS)
def test_a_cached_model_does_not_ask_whether_its_branch_moved(hub: FakeHub, ref: str) -> None:
    cached(hub, ref)
    before = hub.repos[ref].commit
    hub.repos[ref].revisions["main"] = "1" * 40
    for revision in (None, "main", before):
        assert describe(resolve(ref, revision=revision), resolve(ref).formats[0]).revision == before
    assert hub.requests == []


def test_another_revision_is_asked_for(hub: FakeHub) -> None:
    cached(hub, "org/tiny")
    hub.repos["org/tiny"].revisions["v2"] = "2" * 40
    assert describe(resolve("org/tiny", revision="v2"), "safetensors").revision == "2" * 40
    assert hub.requests


@pytest.mark.parametrize("ref", REFS)
def test_a_black_hole_costs_a_cached_model_no_time(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, ref: str) -> None:
    cached(hub, ref)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "60")
    began = time.monotonic()
    with black_hole() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        candidate = resolve(ref)
        assert fetch(describe(candidate, candidate.formats[0])).exists()
    assert time.monotonic() - began < 30


def test_a_gated_model_on_the_disk_needs_no_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "reader")
    cached(hub, "org/gated")
    monkeypatch.delenv("HF_TOKEN")
    assert fetch(describe(resolve("org/gated"), "safetensors")).exists()
    assert hub.requests == []


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("value", ["1", "true", "ON", "yes"])
def test_offline_nothing_is_asked_and_the_variable_is_named(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    error, _ = unreachable()
    assert error.code == "hub_offline"
    assert error.message.startswith(f"{variable} is set, and org/x is not completely in the cache")
    assert f"Unset {variable}" in (error.hint or "")
    assert hub.opened == 0


def test_half_a_model_is_not_enough_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(hub, "org/tiny")
    next(hub_settings.cache_folder().rglob("snapshots/*/model.safetensors")).unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LlmserveError, match="not completely in the cache"):
        describe(resolve("org/tiny"), "safetensors")
    assert hub.requests == []


@pytest.mark.parametrize(("first", "second", "offline"), [("0", "1", False), ("", "1", True), ("no", "", False)])
def test_offline_is_read_as_the_hubs_client_reads_it(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, offline: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", first)
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", second)
    assert hub_settings.offline() is offline


def test_the_usual_patience_leaves_room_in_ten_seconds() -> None:
    assert hub_settings.patience() <= 9


def test_a_black_hole_is_given_up_in_time(hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.5")
    for patient in (False, True):
        error, took = unreachable(patient=patient)
        assert error.message == f"The hub at {hole} cannot be reached: it did not answer within 0.5 s."
        assert error.code == "hub_unreachable"
        assert "HF_ENDPOINT" in (error.hint or "")
        assert 0.5 <= took < 60


def test_slow_name_resolution_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.3")
    resolved = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        resolved.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    before = set(threading.enumerate())
    error, took = unreachable("https://hub.invalid")
    assert "cannot be reached" in error.message
    assert took < 30
    resolved.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)


def test_nobody_listens() -> None:
    error, _ = unreachable("http://127.0.0.1:9")
    assert error.message == "The hub at http://127.0.0.1:9 cannot be reached: Connection refused."


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    error, _ = unreachable("https://hub.invalid")
    assert error.message == "The hub at https://hub.invalid cannot be reached: its name cannot be resolved."


def test_a_patient_pull_outlives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PATIENT_PAUSES", (0.05, 0.05))
    pauses: list[float] = []
    with scripted(lambda _: Answer(about(), headers=JSON)) as server, closing(Hub(server.url, patient=True)) as hub:
        honest, calls = hub._listing, iter([ConnectionError, ConnectionError, None])

        def restarting(url: str, repo: str, left: float) -> api.Listing:
            import httpx2

            if next(calls):
                pauses.append(left)
                raise httpx2.ConnectError("[Errno 111] Connection refused")
            return honest(url, repo, left)

        monkeypatch.setattr(hub, "_listing", restarting)
        assert hub.listing("org/x").files
    assert len(pauses) == 2
