"""The transfer when the network or the hub fails: it goes on, or ends with a sentence, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import download
from llmserve.models.hub.patience import Attempts, Hiccup, Patience, asked_to_wait
from llmserve.models.hub.progress import Event
from tests.fakes.hub import ALWAYS, FakeHub, Fault
from tests.unit.models.pulled import (
    BRUSQUE,
    CHUNK,
    HASTY,
    SIZES,
    Pull,
    is_complete,
    made_up_hub,
    plan_of,
    present,
    unfinished,
)

TOTAL = sum(SIZES.values())


@pytest.fixture
def hub(home: Path) -> Iterator[FakeHub]:
    with made_up_hub() as hub:
        yield hub


def patience_for(fault: Fault) -> Patience:
    return BRUSQUE if fault.kind == "hang" else HASTY


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="cut", after=100_000, times=5),
        Fault(kind="cut", after=0, times=3),
        Fault(kind="reset", after=100_000, times=5),
        Fault(kind="truncate", after=300_000, times=3, where="cdn/*"),
        Fault(kind="hang", after=90_000, times=2),
        Fault(kind="status", status=429, retry_after=0.05, times=4),
        Fault(kind="status", status=500, times=3),
        Fault(kind="status", status=503, retry_after=0.1, retry_date=True, times=3),
        Fault(kind="wrong_length", after=1000, times=3, where="cdn/*"),
        Fault(kind="wrong_length", after=10, times=1, where="*config.json"),
        Fault(kind="corrupt", after=150_000, times=1, where="cdn/*"),
        Fault(kind="corrupt", after=20, times=2, where="*config.json"),
        Fault(kind="loop", times=2),
        Fault(kind="expired", times=4),
        Fault(kind="no_range", times=ALWAYS),
        Fault(kind="wrong_range", after=5000, times=2),
        Fault(kind="gzip", times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status if fault.kind == 'status' else fault.after}",
)
def test_what_passes_is_outlasted(hub: FakeHub, fault: Fault) -> None:
    hub.fault = fault
    pull = Pull(hub, patience_for(fault))
    assert is_complete(hub, pull())
    done = [event.done_bytes for event in pull.events]
    assert done == sorted(done)
    assert done[-1] == TOTAL


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (Fault(kind="cut", after=500), "hub_interrupted", "ends early"),
        (Fault(kind="hang", after=500), "hub_interrupted", "says nothing"),
        (Fault(kind="status", status=429, retry_after=0.01), "hub_rate_limit", "429"),
        (Fault(kind="status", status=429, retry_after=99_999), "hub_rate_limit", "429"),
        (Fault(kind="status", status=502), "hub_interrupted", "502"),
        (Fault(kind="status", status=418), "hub_interrupted", "418"),
        (Fault(kind="loop"), "hub_bad_answer", "circle"),
        (Fault(kind="expired"), "hub_interrupted", "no longer good"),
        (Fault(kind="corrupt", after=150_000, where="cdn/*"), "wrong_hash", "safetensors"),
        (Fault(kind="corrupt", after=20, where="*config.json"), "wrong_hash", "config.json"),
        (Fault(kind="wrong_length", after=10, where="*config.json"), "wrong_size", "290 bytes"),
        (Fault(kind="gzip"), "hub_bad_answer", "compressed"),
        (Fault(kind="status", status=404, where="*/config.json"), "file_gone", "config.json"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_what_stays_ends_with_a_sentence(hub: FakeHub, fault: Fault, code: str, says: str) -> None:
    hub.fault = replace(fault, times=ALWAYS)
    with pytest.raises(LlmserveError) as caught:
        Pull(hub, replace(patience_for(fault), tries=4))()
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert "Signature" not in caught.value.message
    hub.faults.all.clear()
    assert is_complete(hub, Pull(hub)())


def test_nothing_that_came_is_asked_for_again(hub: FakeHub) -> None:
    """A connection that breaks takes at most what was on its way."""
    hub.fault = Fault(kind="cut", after=70_000, times=ALWAYS)
    assert is_complete(hub, Pull(hub)())
    assert sum(hub.served.values()) == TOTAL


def test_the_next_run_goes_on_where_the_last_one_ended(hub: FakeHub) -> None:
    name = "model-2.safetensors"
    hub.fault = Fault(kind="truncate", after=600_000, times=ALWAYS)
    for _ in range(3):  # no run gets that byte
        with pytest.raises(LlmserveError):
            Pull(hub, replace(HASTY, tries=1))(plan_of(hub, only=(name,)))
    there = present(hub)
    assert 600_000 % (4 * CHUNK) <= there < SIZES[name]
    hub.clear()
    assert is_complete(hub, Pull(hub)(plan_of(hub, only=(name,))), (name,))
    assert hub.total == SIZES[name] - there


def test_a_server_without_ranges_gets_one_connection_for_a_file(hub: FakeHub) -> None:
    hub.faults.all = [
        Fault(kind="no_range", times=ALWAYS),
        Fault(kind="cut", after=600_000, times=1, where="*model-2*"),
    ]
    assert is_complete(hub, Pull(hub)(plan_of(hub, only=("model-2.safetensors",))), ("model-2.safetensors",))
    asked = [request for request in hub.requests if "/cdn/" in request]
    assert len(asked) <= 8 + 1  # all threads may ask before the first answer; after the cut, one does


def test_a_dripping_server_is_given_up(hub: FakeHub) -> None:
    hub.fault = Fault(pause=0.05, piece=1)
    with pytest.raises(LlmserveError, match="says nothing"):
        Pull(hub, replace(BRUSQUE, tries=2, slowest=1000))()


def test_a_hub_that_comes_back_is_waited_for(hub: FakeHub) -> None:
    hub.fault = Fault(kind="status", status=503, times=ALWAYS)
    pull = Pull(hub, replace(HASTY, tries=10_000))

    def mend(event: Event) -> None:
        pull.events.append(event)
        if event.note:
            hub.faults.all.clear()

    assert is_complete(hub, download(Hub(hub.url), plan_of(hub), mend, patience=pull.patience))
    assert "answers 503; trying again in" in pull.notes


def test_a_gone_hub_is_named(hub: FakeHub) -> None:
    with pytest.raises(LlmserveError) as caught:
        download(Hub("http://127.0.0.1:9"), plan_of(hub), patience=replace(HASTY, tries=2))
    assert caught.value.code == "hub_unreachable"
    assert "127.0.0.1" in caught.value.message


def test_an_address_that_expires_is_asked_for_anew(hub: FakeHub) -> None:
    """The hub's clock leaps as soon as bytes come: the connection that is cut cannot go on at the same address."""
    name = "model-2.safetensors"
    hub.fault = Fault(kind="cut", after=100_000, times=ALWAYS, where="cdn/*")
    for total in (1, 500_000, 1_000_000):
        hub.at(total, hub.leap)
    assert is_complete(hub, Pull(hub)(plan_of(hub, only=(name,))), (name,))
    assert hub.stale >= 1


def test_damage_is_told_and_only_that_file_is_fetched_again(hub: FakeHub) -> None:
    hub.fault = Fault(kind="corrupt", after=700_000, times=1, where="*model-1*")
    pull = Pull(hub)
    assert is_complete(hub, pull())
    assert hub.served["model-1.safetensors"] == 2 * SIZES["model-1.safetensors"]
    assert hub.served["model-2.safetensors"] == SIZES["model-2.safetensors"]


def test_a_file_that_stays_wrong_is_fetched_three_times(hub: FakeHub) -> None:
    hub.fault = Fault(kind="corrupt", after=0, times=ALWAYS, where="*model-1*")
    with pytest.raises(LlmserveError, match="model-1"):
        Pull(hub)(plan_of(hub, only=("model-1.safetensors",)))
    assert hub.served["model-1.safetensors"] == 3 * SIZES["model-1.safetensors"]
    assert not (plan_of(hub).folder / "model-1.safetensors").exists()


def test_no_reference_points_to_what_is_not_there(hub: FakeHub) -> None:
    hub.fault = Fault(kind="cut", after=500, times=ALWAYS, where="cdn/*")
    plan = plan_of(hub)
    with pytest.raises(LlmserveError):
        Pull(hub, replace(HASTY, tries=1))()
    assert not (plan.folder.parent.parent / "refs").exists()
    assert unfinished(plan.folder.parent.parent)


def test_pauses_grow_and_end() -> None:
    attempts = Attempts(Patience(tries=5, unit=1.0, most=4.0))
    pauses = [attempts.pause(Hiccup("x")) for _ in range(5)]
    assert pauses[4] is None
    for pause, most in zip(pauses, (1, 2, 4, 4), strict=False):
        assert pause is not None
        assert 0.75 * most <= pause <= most


def test_progress_makes_patience_new() -> None:
    attempts = Attempts(Patience(tries=2))
    for _ in range(10):
        assert attempts.pause(Hiccup("x")) is not None
        attempts.gained(100_000)
    assert attempts.pause(Hiccup("x")) is not None
    attempts.gained(10)
    assert attempts.pause(Hiccup("x")) is None


def test_a_server_is_obeyed_within_reason() -> None:
    patience = Patience(unit=0.1, longest=60)
    assert Attempts(patience).pause(Hiccup("x", wait=30)) == 30
    assert Attempts(patience).pause(Hiccup("x", wait=61)) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
    ],
)
def test_dates_count_from_the_servers_clock(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_to_wait(headers) == seconds


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Patience()),
        ({"LLMSERVE_RETRY_SECONDS": "0.1"}, Patience(unit=0.1, most=1.6)),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "60"}, Patience(stall=60.0)),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "60", "LLMSERVE_STALL_SECONDS": "2"}, Patience(stall=2.0)),
        ({"LLMSERVE_CHUNK_BYTES": str(CHUNK)}, Patience(chunk=CHUNK)),
        ({"LLMSERVE_CHUNK_BYTES": "nan", "LLMSERVE_STALL_SECONDS": "-1"}, Patience()),
    ],
)
def test_the_environment_sets_limits(variables: dict[str, str], expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLMSERVE_RETRY_SECONDS", "LLMSERVE_STALL_SECONDS", "LLMSERVE_CHUNK_BYTES", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Patience.from_environment() == expected
