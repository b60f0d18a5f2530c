"""An environment as an engine gets it, built by the real venv and the real pip."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llmserve import paths
from llmserve.engine import install
from tests.unit.engine.test_install import toy


def test_a_real_build_with_venv_and_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "engines"
    monkeypatch.setattr(paths, "engines_dir", lambda: folder)
    notes: list[str] = []
    recipe = toy(tmp_path)
    item, built = install.install(recipe, notes.append)
    assert built
    assert item.path == folder / recipe.name
    assert notes[0] == "step 1 of 3: a new environment"
    assert notes[-1].startswith("step 3 of 3: check")
    assert item.manifest.packages["toy"] == "1.5"
    assert item.manifest.size_bytes > 1024**2
    assert sorted(path.name for path in folder.iterdir()) == [".lock", recipe.name]
    assert "toy-1.5-py3-none-any.whl" in (item.path / "install.log").read_text(encoding="utf-8")
    done = subprocess.run([str(item.path / "bin" / "pip"), "--version"], capture_output=True, text=True, check=True)
    assert str(item.path) in done.stdout  # its scripts know that they were moved

    assert install.install(recipe, notes.append) == (item, False)
    assert len(notes) == 3
