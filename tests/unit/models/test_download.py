"""The transfer when nothing goes wrong: what it leaves is what the hub's own client would leave."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import Event, download
from tests.fakes.hub import ALWAYS, FakeHub, Fault, Repo
from tests.unit.models.pulled import (
    CHUNK,
    HASTY,
    REPO,
    SIZES,
    Pull,
    await_end_of_threads,
    content,
    is_complete,
    made_up_hub,
    plan_of,
    present,
)


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with made_up_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_everything_is_fetched_once(hub: FakeHub) -> None:
    folder = Pull(hub)()
    assert is_complete(hub, folder)
    assert sum(hub.served.values()) == sum(SIZES.values())
    assert hub.requests.count("GET /org/made-up/resolve/" + folder.name + "/config.json") == 1
    assert not [request for request in hub.requests if request.startswith("HEAD")]


def test_the_cache_is_that_of_the_hubs_client(hub: FakeHub) -> None:
    from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
    from huggingface_hub.file_download import _create_symlink

    folder = Pull(hub)()
    cache = hub_settings.cache_folder()
    link = folder / "sub" / "empty.txt"
    expected = folder / "sub" / "theirs"
    _create_symlink(str(link.resolve()), str(expected))
    assert link.readlink() == expected.readlink()
    expected.unlink()
    found = scan_cache_dir(cache)
    assert not found.warnings
    assert not found.incomplete_files
    assert {file.file_name for repo in found.repos for one in repo.revisions for file in one.files} == {
        Path(name).name for name in SIZES
    }
    for name in SIZES:
        assert try_to_load_from_cache(REPO, name, cache_dir=cache) == str(folder / name)
    hub.requests.clear()
    assert snapshot_download(REPO, cache_dir=cache, local_files_only=True) == str(folder)
    assert hub.requests == []


def test_the_hubs_client_asks_for_nothing_more(hub: FakeHub) -> None:
    from huggingface_hub import snapshot_download

    folder = Pull(hub)()
    hub.clear()
    assert snapshot_download(REPO, cache_dir=hub_settings.cache_folder(), endpoint=hub.url) == str(folder)
    assert not [request for request in hub.requests if "resolve" in request or "tree" in request]


def test_what_the_hubs_client_fetched_is_not_fetched_again(hub: FakeHub) -> None:
    from huggingface_hub import snapshot_download

    theirs = snapshot_download(REPO, cache_dir=hub_settings.cache_folder(), endpoint=hub.url)
    hub.clear()
    assert str(Pull(hub)()) == theirs
    assert hub.requests == []


def test_the_tree_is_the_one_that_the_hubs_client_notes(hub: FakeHub, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, cache_dir=tmp_path / "theirs", endpoint=hub.url)
    folder = Pull(hub)(plan_of(hub, only=("config.json", "model-1.safetensors")))
    name = f"models--org--made-up/trees/{folder.name}.json"
    ours, theirs = (
        json.loads((root / name).read_bytes()) for root in (hub_settings.cache_folder(), tmp_path / "theirs")
    )
    for file in theirs["files"].values():
        if "lfs_sha256" in file:
            del file["blob_id"]  # the fake hub does not know what a pointer is
    for file in ours["files"].values():
        if "lfs_sha256" in file:
            assert len(file.pop("blob_id")) == 40
    assert ours == theirs


def test_files_are_as_readable_as_others_and_locks_are_where_they_belong(hub: FakeHub, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    folder = Pull(hub)()
    for name in ("config.json", "model-1.safetensors"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    locks = hub_settings.cache_folder() / ".locks" / "models--org--made-up"
    assert {path.name for path in locks.iterdir()} == {f"{file.etag}.lock" for file in plan_of(hub).files}
    assert (hub_settings.cache_folder() / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f")


def test_nothing_is_asked_or_written_when_all_is_here(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Pull(hub)()
    hub.clear()
    before = {path: path.lstat().st_mtime_ns for path in hub_settings.cache_folder().rglob("*")}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert Pull(hub)() == folder
    assert {path: path.lstat().st_mtime_ns for path in hub_settings.cache_folder().rglob("*")} == before
    assert hub.requests == []


def test_offline_what_is_missing_is_not_asked_for(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LlmserveError, match="HF_HUB_OFFLINE"):
        Pull(hub)()
    assert hub.requests == []


def test_only_what_is_missing_is_fetched(hub: FakeHub) -> None:
    folder = Pull(hub)()
    for name in ("config.json", "model-1.safetensors"):
        (folder / name).resolve().unlink()
    (folder / "model-2.safetensors").unlink()  # its content is there still
    hub.clear()
    Pull(hub)()
    assert is_complete(hub, folder)
    assert set(hub.served) == {"config.json", "model-1.safetensors"}


def test_content_of_a_wrong_size_is_replaced(hub: FakeHub) -> None:
    folder = Pull(hub)()
    for name in ("config.json", "model-1.safetensors"):
        with (folder / name).open("ab") as file:
            file.write(b"more")
    Pull(hub)()
    assert is_complete(hub, folder)


def test_the_same_content_under_two_names_is_fetched_once(home: Path) -> None:
    data = content("twin", 200_000)
    with made_up_hub(Repo({"a.safetensors": data, "sub/b.safetensors": data})) as hub:
        pull = Pull(hub)
        folder = pull()
        assert is_complete(hub, folder)
        assert sum(hub.served.values()) == len(data)
        assert pull.events[-1].done_bytes == pull.events[-1].total_bytes == 2 * len(data)


def test_progress_is_told_in_order_and_to_its_end(hub: FakeHub) -> None:
    hub.fault = Fault(pause=0.15, piece=CHUNK, where="cdn/*")
    pull = Pull(hub)
    pull()
    done = [event.done_bytes for event in pull.events]
    assert done == sorted(done)
    assert done[-1] == pull.events[-1].total_bytes == sum(SIZES.values())
    assert pull.events[-1].eta_seconds == 0
    working = [event for event in pull.events if event.files]
    assert working
    assert all(0 <= part <= size for event in working for _, part, size, _ in event.files)
    assert any(event.rate > 0 and event.eta_seconds for event in working)


def test_resumed_bytes_count_from_the_start(hub: FakeHub) -> None:
    hub.fault = Fault(kind="truncate", after=600_000, times=ALWAYS)
    with pytest.raises(LlmserveError):
        Pull(hub, replace(HASTY, tries=1))()
    there = present(hub)
    assert there > CHUNK
    hub.clear()
    pull = Pull(hub)
    pull()
    assert pull.events[0].done_bytes >= there
    assert hub.total == sum(SIZES.values()) - there


def test_the_token_goes_to_the_hub_alone(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake hub raises when its other origin is sent a token."""
    monkeypatch.setenv("HF_TOKEN", "reader")
    hub.repos[REPO].readers = {"reader"}
    assert is_complete(hub, Pull(hub)())


def test_a_refusal_is_explained(hub: FakeHub) -> None:
    hub.repos[REPO].readers = {"reader"}
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)()
    assert caught.value.exit_code == 4
    assert "gated" in caught.value.message


def test_small_files_may_be_redirected_within_the_hub(hub: FakeHub) -> None:
    hub.relay = True
    hub.repos[REPO].readers = {"reader"}
    os.environ["HF_TOKEN"] = "reader"
    try:
        assert is_complete(hub, Pull(hub)())
    finally:
        del os.environ["HF_TOKEN"]


def test_a_hash_that_the_list_lacks_is_asked_for(hub: FakeHub) -> None:
    plan = plan_of(hub)
    unknown = tuple(replace(file, etag=None, sha256=None, git_sha1=None) for file in plan.files)
    folder = Pull(hub)(replace(plan, files=unknown))
    assert is_complete(hub, folder)
    assert {path.name for path in (folder.parent.parent / "blobs").iterdir()} == {file.etag for file in plan.files}


def test_an_interruption_comes_through_at_once(hub: FakeHub) -> None:
    """Each connection brings one chunk and then nothing for a minute."""
    only = ("model-2.safetensors",)
    hub.fault = Fault(pause=60, piece=CHUNK, where="cdn/*")

    def interrupt(event: Event) -> None:
        if event.done_bytes == 5 * CHUNK:  # of 20, by four to a connection
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(Hub(hub.url), plan_of(hub, only=only), interrupt, patience=HASTY)
    assert time.monotonic() - begun < 30
    await_end_of_threads()
    hub.clear()
    assert is_complete(hub, Pull(hub)(plan_of(hub, only=only)), only)
    assert hub.total == 15 * CHUNK
