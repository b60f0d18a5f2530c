from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llmserve.hardware import disks


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "~/hf"}, "~/hf/hub"),
        ({"HF_HOME": "~nobody-here/hf"}, "~nobody-here/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/cache"}, "/cache"),
        ({"HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HOME": "", "HF_HUB_CACHE": ""}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_weights_go_where_huggingface_hub_puts_them(environment: dict[str, str], path: str) -> None:
    assert disks.places(environment)["weights"] == Path(os.path.expanduser(path))  # noqa: PTH111


def test_every_use_is_measured_by_default() -> None:
    assert list(disks.places({})) == ["weights", "engines", "state"]


def test_a_folder_that_is_not_there_yet_is_measured_by_its_parent(tmp_path: Path) -> None:
    wanted = tmp_path / "not/yet/here"
    (disk,), findings = disks.measure({"weights": wanted})
    assert (disk.use, disk.path) == ("weights", str(wanted))
    assert disk.total_bytes == shutil.disk_usage(tmp_path).total
    assert 0 <= disk.free_bytes <= disk.total_bytes
    assert findings == ()


def test_a_disk_that_cannot_be_examined_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    found, (finding,) = disks.measure({"weights": tmp_path})
    assert found == ()
    assert "Input/output error" in finding.message
    assert (finding.about, finding.hint) == ("weights", "Set HF_HOME to a folder that you own.")


def test_a_folder_that_may_not_be_written_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    found, (finding,) = disks.measure({"other": tmp_path})
    assert len(found) == 1
    assert "cannot write" in finding.message


def test_a_parent_that_may_not_be_entered_does_not_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    exists = Path.exists

    def guarded(path: Path) -> bool:
        if path.is_relative_to(closed):
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", guarded)
    assert disks.measure({"state": closed / "a/b"})[0][0].total_bytes == shutil.disk_usage(tmp_path).total


def test_shared_memory(tmp_path: Path) -> None:
    assert disks.shared_memory(tmp_path) is None
    (tmp_path / "dev/shm").mkdir(parents=True)
    assert disks.shared_memory(tmp_path) == shutil.disk_usage(tmp_path).total
