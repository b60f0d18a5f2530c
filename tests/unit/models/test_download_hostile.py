"""What a hostile hub lists or sends, and what lies in the way on the disk: refused, with nothing written elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve.errors import DoesNotFitError, LlmserveError
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.plan import Wanted
from tests.fakes.hub import FakeHub
from tests.unit.models.pulled import SIZES, Pull, is_complete, made_up_hub, plan_of


@pytest.fixture
def hub(home: Path) -> Iterator[FakeHub]:
    with made_up_hub() as hub:
        yield hub


def refuse(hub: FakeHub, to: Path | None = None, **changes: object) -> LlmserveError:
    """The error for a plan one of whose files is changed so. Nothing may be asked or written before it."""
    plan = plan_of(hub, to)
    file = replace(plan.files[2], **changes)  # type: ignore[arg-type]
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)(replace(plan, files=(*plan.files[:2], file)))
    assert hub.requests == []
    assert not hub_settings.cache_folder().exists()
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "..", "/etc/evil", "a//b", "./a", "a/.", "", "a/", "..\\evil", "C:\\evil", "C:evil",
        "a\x00b", "a\nb", "\x1b[2Jclear", "a\x7f", "a\x85b", "\ud800.bin", "a\u2028b", "x" * 256, "/".join("x" * 65),
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(hub: FakeHub, name: str) -> None:
    assert refuse(hub, name=name).code == "unsafe_name"


@pytest.mark.parametrize("name", ["config.json/x", "Config.JSON/x", "model-1.safetensors", "SUB", "sub"])
def test_names_that_are_in_each_others_way(hub: FakeHub, name: str) -> None:
    plan = plan_of(hub)
    other = Wanted(name=name, size_bytes=1, etag="0" * 40)
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)(replace(plan, files=(*plan.files, other)))
    assert caught.value.code == "unsafe_name"


def test_notes_of_a_plain_folder_are_not_for_the_hub_to_write(hub: FakeHub, tmp_path: Path) -> None:
    assert refuse(hub, tmp_path, name=".cache/HuggingFace/download/x.metadata").code == "unsafe_name"


@pytest.mark.parametrize("name", ["ünïcode/模型.bin", "a b.txt", "..a/b..", "a...b", "-x", "~", "$HOME"])
def test_odd_names_are_no_crime(name: str, home: Path) -> None:
    from tests.fakes.hub import Repo

    with made_up_hub(Repo({name: b"content"})) as hub:
        assert is_complete(hub, Pull(hub)())


@pytest.mark.parametrize("size", [-1, 10**14 + 1, 2**63])
def test_sizes_that_cannot_be(hub: FakeHub, size: int) -> None:
    assert refuse(hub, size_bytes=size).code == "absurd_size"


@pytest.mark.parametrize("etag", ["../../evil", "", "A" * 40, "0" * 41, "0" * 64 + "/x"])
def test_hashes_that_are_paths(hub: FakeHub, etag: str) -> None:
    assert refuse(hub, etag=etag).code == "unsafe_name"


@pytest.mark.parametrize("change", [{"commit": "../x"}, {"commit": ""}, {"revision": "../../x"}, {"repo": "../x"}])
def test_a_plan_cannot_be_made_to_lead_elsewhere(hub: FakeHub, change: dict[str, str]) -> None:
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)(replace(plan_of(hub), **change))  # type: ignore[arg-type]
    assert caught.value.code == "unsafe_name"


def test_a_hash_in_an_answer_that_is_a_path(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(hub)
    unknown = replace(plan.files[2], etag=None, sha256=None, git_sha1=None)
    hub.repos["org/made-up"].about["config.json"]["oid"] = "../../../evil"
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)(replace(plan, files=(unknown,)))
    assert caught.value.code == "hub_bad_answer"


@pytest.mark.parametrize("size", [SIZES["config.json"] - 1, SIZES["config.json"] + 1])
@pytest.mark.parametrize("name", ["config.json", "model-1.safetensors"])
def test_sizes_that_contradict_the_list(hub: FakeHub, name: str, size: int) -> None:
    plan = plan_of(hub, only=(name,))
    lie = size - SIZES["config.json"] + SIZES[name]
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)(replace(plan, files=(replace(plan.files[0], size_bytes=lie),)))
    assert caught.value.code == "wrong_size"
    assert str(lie) in caught.value.message
    assert not (plan.folder / name).exists()


def test_a_folder_that_is_a_link_to_elsewhere(hub: FakeHub, tmp_path: Path) -> None:
    plan, elsewhere = plan_of(hub), tmp_path / "elsewhere"
    elsewhere.mkdir()
    plan.folder.mkdir(parents=True)
    (plan.folder / "sub").symlink_to(elsewhere)
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)()
    assert caught.value.code == "unsafe_link"
    assert list(elsewhere.iterdir()) == []


def test_a_link_to_elsewhere_is_not_taken_for_the_file(hub: FakeHub, tmp_path: Path) -> None:
    plan, elsewhere = plan_of(hub), tmp_path / "elsewhere"
    elsewhere.write_bytes(bytes(SIZES["config.json"]))
    plan.folder.mkdir(parents=True)
    (plan.folder / "config.json").symlink_to(elsewhere)
    assert is_complete(hub, Pull(hub)())
    assert elsewhere.read_bytes() == bytes(SIZES["config.json"])


def test_pieces_that_are_a_link_are_not_written_through(hub: FakeHub, tmp_path: Path) -> None:
    plan, elsewhere = plan_of(hub), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    blobs = plan.folder.parent.parent / "blobs"
    blobs.mkdir(parents=True)
    for file in plan.files:
        (blobs / f"{file.etag}.llmserve.incomplete").symlink_to(elsewhere)
    with pytest.raises(LlmserveError):
        Pull(hub)()
    assert elsewhere.read_bytes() == b"mine"


def test_a_cache_that_cannot_be_written(hub: FakeHub) -> None:
    plan = plan_of(hub)
    plan.folder.parent.parent.parent.mkdir(parents=True)
    (plan.folder.parent.parent).touch()
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)()
    assert caught.value.code == "disk_error"


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [
        (errno.ENOSPC, "disk_full", 3), (errno.EDQUOT, "disk_full", 3), (errno.EROFS, "cache_not_writable", 1),
        (errno.EACCES, "cache_not_writable", 1), (errno.EIO, "disk_error", 1),
    ],
)  # fmt: skip
def test_what_a_disk_refuses_is_said(
    hub: FakeHub, number: int, code: str, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = os.pwrite, []

    def refuse(descriptor: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 6:
            raise OSError(number, os.strerror(number))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(LlmserveError) as caught:
        Pull(hub)()
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert str(hub_settings.cache_folder()) in caught.value.message
    monkeypatch.undo()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts a small file system")
def test_a_full_disk_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        monkeypatch.setenv("HF_HUB_CACHE", str(disk))
        with made_up_hub() as hub:
            with pytest.raises(DoesNotFitError, match="disk is full"):
                Pull(hub)()
            hub.clear()
            subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
            assert is_complete(hub, Pull(hub)())
            assert sum(hub.served.values()) < sum(SIZES.values()) - 500_000
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
