"""Several processes, and processes that are killed: the work is done once, and no lock outlives its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import Event, download
from llmserve.models.hub.locks import ContentLock
from tests.fakes.hub import FakeHub, Fault
from tests.unit.models.pulled import CHUNK, HASTY, SIZES, Pull, is_complete, made_up_hub, plan_of

TOTAL = sum(SIZES.values())
PROGRAM = """
import sys
from pathlib import Path
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import download
from llmserve.models.hub.plan import FetchPlan, Wanted
hub, folder = Hub(), Path(sys.argv[1])
listing = hub.listing("org/made-up")
files = [Wanted(name=name, size_bytes=file.size, etag=file.content_hash, sha256=file.sha256, git_sha1=file.git_sha1)
         for name, file in listing.files.items()]
download(hub, FetchPlan(repo="org/made-up", commit=listing.commit, revision="main", folder=folder, files=tuple(files)))
"""


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with made_up_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("LLMSERVE_CHUNK_BYTES", str(CHUNK))
        yield hub


def start(hub: FakeHub) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PROGRAM, str(plan_of(hub).folder)]
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_processes_fetch_everything_once(hub: FakeHub) -> None:
    hub.rate = 2_000_000
    processes = [start(hub), start(hub)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert is_complete(hub, plan_of(hub).folder)
    assert sum(hub.served.values()) == TOTAL


def test_the_hubs_client_waits_for_us_and_we_for_it(hub: FakeHub) -> None:
    hub.rate = 2_000_000
    ours = start(hub)
    hf = Path(sys.executable).with_name("hf")
    environment = {**os.environ, "HF_HUB_CACHE": str(hub_settings.cache_folder())}
    theirs = subprocess.Popen(
        [hf, "download", "org/made-up"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    outputs = [process.communicate(timeout=60)[0] for process in (ours, theirs)]
    assert (ours.returncode, theirs.returncode) == (0, 0), outputs
    assert is_complete(hub, plan_of(hub).folder)
    assert sum(hub.served.values()) == TOTAL


@pytest.mark.parametrize("at", [1, 500_000, 1_200_000, 1_900_000])
def test_a_killed_process_leaves_all_it_had_and_no_lock(hub: FakeHub, at: int) -> None:
    hub.rate = 6_000_000
    process = hub.strike(at, signal.SIGKILL, partial(start, hub))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    there = sum(path.stat().st_blocks * 512 for path in hub_settings.cache_folder().rglob("*.llmserve.incomplete"))
    complete = sum(path.stat().st_size for path in hub_settings.cache_folder().glob("*/blobs/*") if len(path.name) >= 40
                   and "." not in path.name)  # fmt: skip
    hub.clear()
    assert is_complete(hub, Pull(hub)())
    assert sum(hub.served.values()) <= TOTAL - there - complete + 2 * CHUNK


def test_a_lock_of_another_process_is_waited_for(hub: FakeHub) -> None:
    """While it is held, the other files are fetched; when it is let go, so is this one."""
    plan = plan_of(hub)
    blob = next(file.etag for file in plan.files if file.name == "model-1.safetensors")
    path = hub_settings.cache_folder() / ".locks" / "models--org--made-up" / f"{blob}.lock"
    path.parent.mkdir(parents=True)
    lock = ContentLock(path)
    assert lock.acquire()
    assert not ContentLock(path).acquire()
    told: list[Event] = []

    def release(event: Event) -> None:
        """As soon as it is said that this file is waited for, and the others are there."""
        told.append(event)
        waits = ("model-1.safetensors", "waiting") in [(name, state) for name, _, _, state in event.files]
        if waits and hub.total == TOTAL - SIZES["model-1.safetensors"]:
            lock.release()

    assert is_complete(hub, download(Hub(hub.url), plan, release, patience=HASTY))
    assert any(event.note == "model-1.safetensors is being fetched by another process" for event in told)
    assert hub.total == TOTAL


def test_what_another_process_brings_meanwhile_is_taken(hub: FakeHub) -> None:
    plan = plan_of(hub)
    file = next(file for file in plan.files if file.name == "model-1.safetensors")
    path = hub_settings.cache_folder() / ".locks" / "models--org--made-up" / f"{file.etag}.lock"
    path.parent.mkdir(parents=True)
    lock = ContentLock(path)
    assert lock.acquire()
    blob = plan.folder.parent.parent / "blobs" / str(file.etag)

    told: list[Event] = []

    def bring(event: Event) -> None:
        told.append(event)
        if event.note and not blob.exists():
            blob.write_bytes(hub.repos["org/made-up"].files[file.name][:])
            lock.release()

    assert is_complete(hub, download(Hub(hub.url), plan, bring, patience=HASTY))
    assert "model-1.safetensors" not in hub.served
    assert told[-1].done_bytes == TOTAL


def test_an_interrupt_ends_a_process_at_once(hub: FakeHub) -> None:
    hub.fault = Fault(pause=30, piece=CHUNK, where="cdn/*")
    process = hub.strike(2 * CHUNK, signal.SIGINT, partial(start, hub))
    out = process.communicate(timeout=25)[0]  # less than the pause
    assert "KeyboardInterrupt" in out
