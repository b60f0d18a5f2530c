from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve import paths
from llmserve.engine import environments, recipes
from llmserve.engine.base import Device
from llmserve.engine.environments import MANIFEST, Managed, Manifest
from llmserve.errors import LlmserveError
from llmserve.records import to_json

WHOLE = Manifest(
    engine="sglang",
    version="0.5.23",
    device="cpu",
    python="3.11.7",
    recipe="0123456789",
    created="2026-11-23T08:00:00+00:00",
    seconds=100.0,
    size_bytes=3 * 1024**3,
    packages={"torch": "2.13.0+cpu"},
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "engines_dir", lambda: tmp_path / "engines")
    monkeypatch.setattr(recipes, "gpu_present", lambda: False)
    return tmp_path / "engines"


def put(folder: Path, name: str, manifest: Manifest = WHOLE) -> Managed:
    """An environment as a build leaves it, but with the interpreter of these tests."""
    path = folder / name
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / MANIFEST).write_text(json.dumps(to_json(manifest)), encoding="utf-8")
    return Managed(path=path, manifest=manifest)


@pytest.fixture
def sleeper(folder: Path) -> Iterator[tuple[Managed, int]]:
    item = put(folder, "busy")
    with subprocess.Popen([str(item.python), "-c", "import time; time.sleep(60)"]) as process:
        yield item, process.pid
        process.kill()


def test_a_folder_counts_when_it_has_a_manifest_and_a_python(folder: Path) -> None:
    whole = put(folder, "whole")
    put(folder, ".building-half-1")
    put(folder, ".removing-half-1")
    (put(folder, "no-python").path / "bin" / "python").unlink()
    (put(folder, "no-manifest").path / MANIFEST).unlink()
    (put(folder, "cut-manifest").path / MANIFEST).write_text('{"engine": "sgl', encoding="utf-8")
    (put(folder, "odd-manifest").path / MANIFEST).write_text("[]", encoding="utf-8")
    assert environments.managed() == [whole]
    assert environments.managed("llamacpp") == []


def test_nothing_is_found_where_nothing_was_ever_installed() -> None:
    assert environments.managed() == []
    assert environments.find("sglang", distribution="sglang", module="no_such_module") is None


def test_a_managed_environment_says_where_its_python_is(folder: Path) -> None:
    put(folder, "sglang-0.5.23-cpu")
    found = environments.find("sglang", distribution="sglang", module="sglang")
    assert found
    assert found.managed
    assert (found.engine, found.version, found.device) == ("sglang", "0.5.23", "cpu")
    assert found.python == str(folder / "sglang-0.5.23-cpu" / "bin" / "python")
    assert found.path == str(folder / "sglang-0.5.23-cpu")


def test_the_best_of_several_fits_the_machine_then_the_recipe_then_is_new(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best(device: Device | None = None) -> str:
        found = environments.find("sglang", distribution="sglang", module="sglang", device=device)
        assert found
        assert found.path
        return Path(found.path).name

    monkeypatch.setattr(recipes, "digests", lambda engine: {"present"})
    put(folder, "old", WHOLE)
    put(folder, "new", replace(WHOLE, created="2026-12-01T00:00:00+00:00"))
    assert best() == "new"
    put(folder, "present", replace(WHOLE, created="2025-01-01T00:00:00+00:00", recipe="present"))
    assert best() == "present"
    put(folder, "gpu", replace(WHOLE, device="gpu"))
    assert best() == "present"
    assert best("gpu") == "gpu"
    monkeypatch.setattr(recipes, "gpu_present", lambda: True)
    assert best() == "gpu"


def test_an_engine_in_the_current_interpreter_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "site" / "toyengine"
    information = tmp_path / "site" / "toy_engine-1.5.dist-info"
    module.mkdir(parents=True)
    information.mkdir()
    (module / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert environments.find("toy", distribution="toy-engine", module="toyengine") is None
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.5\n", encoding="utf-8")
    found = environments.find("toy", distribution="toy-engine", module="toyengine")
    assert found
    assert (found.version, found.python, found.managed, found.path) == ("1.5", sys.executable, False, None)


def test_leftovers_go_unless_somebody_is_building(folder: Path) -> None:
    half, whole = put(folder, ".building-half-1").path, put(folder, "whole").path
    gone = put(folder, ".removing-half-1").path
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environments.tidy()
        assert half.exists()
    environments.tidy()
    assert not half.exists()
    assert not gone.exists()
    assert whole.exists()


def test_tidying_an_empty_home_creates_nothing(folder: Path) -> None:
    environments.tidy()
    assert not folder.exists()


def test_an_environment_is_removed_with_all_its_files(folder: Path) -> None:
    item = put(folder, "whole")
    environments.remove(item)
    assert list(folder.iterdir()) == []


def test_an_environment_in_use_stays(sleeper: tuple[Managed, int]) -> None:
    item, pid = sleeper
    with pytest.raises(LlmserveError, match=f"in use by process {pid}") as caught:
        environments.remove(item)
    assert caught.value.code == "environment_in_use"
    assert caught.value.data == {"pids": [pid]}
    assert item.path.exists()


def test_another_environment_with_a_longer_name_is_not_in_use(sleeper: tuple[Managed, int], folder: Path) -> None:
    assert environments.users(folder / "bus") == []
    assert [process.pid for process in environments.users(folder / "busy")] == [sleeper[1]]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_renamed_itself_is_recognised_by_its_libraries(folder: Path) -> None:
    item = put(folder, "busy")
    library = item.path / "lib.so"
    library.write_bytes(b"\0" * 4096)
    code = (
        f"import mmap; f = open({str(library)!r}, 'r+b'); m = mmap.mmap(f.fileno(), 0); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        ["sglang::scheduler", "-c", code], executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        found = [user.pid for user in environments.users(item.path)]
        process.kill()
    assert found == [process.pid]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(paths, "engines_dir", lambda: tmp_path / "file" / "engines")
    with pytest.raises(LlmserveError, match="cannot be written: Not a directory"), environments.locked(lambda: None):
        pass
