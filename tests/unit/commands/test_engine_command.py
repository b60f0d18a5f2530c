from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmserve import app, paths
from llmserve.engine import environments, install, recipes
from llmserve.engine.base import Environment
from llmserve.engine.environments import MANIFEST, Managed, Manifest
from llmserve.engine.recipes import Recipe
from llmserve.errors import DoesNotFitError
from llmserve.records import to_json

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "engines_dir", lambda: tmp_path / "engines")
    monkeypatch.setattr(environments, "current", lambda engine, distribution, module: None)
    monkeypatch.setattr(recipes, "gpu_present", lambda: False)
    monkeypatch.setattr(recipes, "_unsupported", lambda engine: None)
    return tmp_path / "engines"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = app.run(["engine", *arguments])
        return (code, *capsys.readouterr())

    return call


def put(folder: Path, engine: str = "sglang", name: str | None = None) -> Managed:
    recipe = recipes.recipe(engine)
    manifest = Manifest(
        engine=engine,
        version=recipe.version,
        device=recipe.device,
        python="3.11.7",
        recipe=recipe.digest,
        created="2026-11-23T08:00:00+00:00",
        seconds=101.4,
        size_bytes=3 * 1024**3,
        packages={},
    )
    path = folder / (name or recipe.name)
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / MANIFEST).write_text(json.dumps(to_json(manifest)), encoding="utf-8")
    return Managed(path=path, manifest=manifest)


def test_an_installed_engine_is_not_installed_again(run: Run, folder: Path) -> None:
    item = put(folder)
    assert run("install", "sglang") == (0, f"sglang 0.5.23 for the CPU is already installed: {item.path}\n", "")
    assert run("install", "sglang", "-q") == (0, f"{item.path}\n", "")
    code, out, _ = run("install", "sglang", "--device", "cpu", "--json")
    data = json.loads(out)["data"]
    assert (code, data["built"], data["environment"]["path"]) == (0, False, str(item.path))


def test_an_install_says_what_it_took(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(recipe: Recipe, note: Callable[[str], None], *, force: bool = False) -> tuple[Managed, bool]:
        note("step 1 of 6: a new environment")
        return put(folder, recipe.engine), True

    monkeypatch.setattr(install, "install", build)
    code, out, err = run("install", "sglang")
    assert code == 0
    assert out.startswith("Installed sglang 0.5.23 for the CPU in 1 min 41 s, 3.00 GiB: ")
    assert err == "step 1 of 6: a new environment\n"


def test_a_full_disk_has_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise DoesNotFitError("Installing sglang takes 4.0 GiB of disk; 2.0 GiB are free at /x.", code="disk_full")

    monkeypatch.setattr(install, "install", build)
    assert run("install", "sglang")[0] == 3
    code, out, _ = run("install", "sglang", "--json")
    assert (code, json.loads(out)["errors"][0]["code"]) == (3, "disk_full")


def test_a_misspelt_engine_names_the_nearest(run: Run) -> None:
    code, _, err = run("install", "sglnag")
    assert (code, err) == (2, "error: There is no engine called 'sglnag'.\n  Did you mean sglang?\n")
    code, _, err = run("remove", "sglnag", "-y")
    assert (code, err) == (2, "error: There is no engine or environment called 'sglnag'.\n  Did you mean sglang?\n")


def test_the_list_is_a_table(run: Run, folder: Path) -> None:
    item = put(folder)
    code, out, _ = run("list")
    assert code == 0
    assert out.splitlines() == [
        "ENGINE   VERSION   DEVICE   SIZE       KIND      PATH",
        f"sglang   0.5.23    cpu      3.00 GiB   managed   {item.path}",
    ]
    assert run("list", "-q")[1] == f"{item.path}\n"


def test_the_list_knows_engines_of_the_current_interpreter(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def current(engine: str, distribution: str, module: str) -> Environment | None:
        if (engine, distribution, module) != ("llamacpp", "xllamacpp", "xllamacpp"):
            return None
        return Environment(engine=engine, version="2026.10", python="/usr/bin/python3", managed=False)

    monkeypatch.setattr(environments, "current", current)
    (row,) = json.loads(run("list", "--json")[1])["data"]["environments"]
    assert (row["engine"], row["kind"], row["size_bytes"]) == ("llamacpp", "current", None)
    assert "llamacpp   2026.10   cpu      -      current" in run("list")[1]


def test_an_empty_list_says_what_to_do(run: Run) -> None:
    assert run("list")[1] == "No engine is installed. Try: llmserve engine install llamacpp\n"
    assert run("list", "-q") == (0, "", "")


def test_listing_clears_what_an_interrupted_install_left(run: Run, folder: Path) -> None:
    half = put(folder, name=".building-sglang-1").path
    assert json.loads(run("list", "--json")[1])["data"]["environments"] == []
    assert not half.exists()


def test_removing_an_engine_removes_all_its_environments(run: Run, folder: Path) -> None:
    put(folder)
    put(folder, name="sglang-old")
    other = put(folder, "llamacpp")
    code, out, _ = run("remove", "sglang", "-y")
    assert code == 0
    assert out.endswith(": 6.00 GiB freed.\n")
    assert sorted(path.name for path in folder.iterdir()) == [".lock", other.path.name]


def test_one_environment_can_be_removed_by_its_name(run: Run, folder: Path) -> None:
    kept = put(folder)
    put(folder, name="sglang-old")
    assert run("remove", "sglang-old", "-y", "-q") == (0, "sglang-old\n", "")
    assert environments.managed() == [kept]


def test_a_script_must_say_yes(run: Run, folder: Path) -> None:
    put(folder, name="sglang-old")
    code, _, err = run("remove", "sglang-old")
    assert (code, err) == (2, "error: Removing sglang-old needs a yes.\n  Add -y.\n")
    assert environments.managed()


def test_what_llmserve_did_not_install_it_does_not_remove(run: Run) -> None:
    code, _, err = run("remove", "sglang", "-y")
    assert (code, err) == (2, "error: llmserve has not installed sglang.\n  See `llmserve engine list`.\n")


def test_an_engine_in_use_is_not_removed(run: Run, folder: Path) -> None:
    item = put(folder)
    with subprocess.Popen([str(item.python), "-c", "import time; time.sleep(60)"]) as process:
        code, out, _ = run("remove", "sglang", "-y", "--json")
        process.kill()
    error = json.loads(out)["errors"][0]
    assert (code, error["code"], error["data"]) == (1, "environment_in_use", {"pids": [process.pid]})
    assert environments.managed() == [item]


@pytest.mark.parametrize("command", ["install", "list", "remove"])
def test_every_command_has_examples(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"\n    llmserve engine {command}" in out
