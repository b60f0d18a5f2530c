"""Downloads into a plain folder: the files themselves, and notes as the hub's client makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.hub import settings as hub_settings
from tests.fakes.hub import FakeHub, Fault
from tests.unit.models.pulled import CHUNK, HASTY, REPO, SIZES, Pull, is_complete, made_up_hub, plan_of, unfinished


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with made_up_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_a_plain_folder_gets_the_files_themselves(hub: FakeHub, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    plan = plan_of(hub, tmp_path / "to")
    folder = Pull(hub)(plan)
    assert folder == tmp_path / "to"
    assert is_complete(hub, folder)
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert not hub_settings.cache_folder().exists()
    hub.clear()
    Pull(hub)(plan)
    snapshot_download(REPO, local_dir=folder, endpoint=hub.url)
    assert not [request for request in hub.requests if request.startswith("GET") and "resolve" in request]


def test_a_plain_folder_is_proven_where_nothing_is_noted(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(hub, tmp_path)
    for name, data in hub.repos[REPO].files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data[:])
    (tmp_path / "model-1.safetensors").write_bytes(bytes(SIZES["model-1.safetensors"]))
    Pull(hub)(plan)
    assert set(hub.served) == {"model-1.safetensors"}
    assert is_complete(hub, tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Pull(hub)(plan)


def test_a_plain_folder_is_resumed_too(hub: FakeHub, tmp_path: Path) -> None:
    plan = plan_of(hub, tmp_path / "to")
    hub.fault = Fault(after=CHUNK * 2, times=99, where="cdn/*")
    with pytest.raises(LlmserveError):
        Pull(hub, replace(HASTY, tries=1))(plan)
    assert unfinished(tmp_path)
    first = sum(hub.served.values())
    hub.clear()
    Pull(hub)(plan)
    assert is_complete(hub, tmp_path / "to")
    assert first + sum(hub.served.values()) <= sum(SIZES.values()) + CHUNK * 8
