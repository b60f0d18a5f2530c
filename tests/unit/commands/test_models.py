from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmserve import app
from llmserve.models.recipes import catalogue

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str]:
    assert app.run(["models", *args]) == 0
    out, err = capsys.readouterr()
    return out, err


def cache_gguf(cache: Path, repo: str, name: str) -> None:
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / name).write_bytes(b"GGUF")


def test_the_table_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys)
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "PARAMETERS", "FORMATS", "SIZE", "LICENCE", "CACHED"]
    assert [line.split()[0] for line in lines[1:]] == [recipe.name for recipe in catalogue()]
    assert "org/name" in err


def test_the_columns_say_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in run(capsys)[0].splitlines()}
    assert rows["qwen3-8b"] == "8B safetensors, gguf 16.4 GB, 5.0 GB Apache-2.0 -"
    assert rows["llama-3-8b"] == "8B safetensors, gguf 16.1 GB, 4.9 GB Llama 3 Community (gated) -"
    assert rows["tiny"] == "0.5M safetensors, gguf - Apache-2.0 built in"


def test_quiet_prints_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "-q")
    assert out.split() == [recipe.name for recipe in catalogue()]
    assert err == ""


def test_what_is_cached_is_marked(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    cache_gguf(cache, "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf")
    cache_gguf(cache, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q8_0.gguf")
    assert run(capsys, "-q", "--cached")[0].split() == ["qwen3-8b", "tiny"]
    row = next(line for line in run(capsys)[0].splitlines() if line.startswith("qwen3-8b"))
    assert row.endswith(" gguf")


def test_json_has_the_whole_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    envelope: dict[str, Any] = json.loads(run(capsys, "--json")[0])
    models = {model["name"]: model for model in envelope["data"]["models"]}
    assert models["qwen3-8b"] == {
        "name": "qwen3-8b", "aliases": ["qwen3"], "family": "qwen", "parameters": "8B", "license": "Apache-2.0",
        "gated": False, "context": 40960, "cached": [],
        "sources": [
            {"format": "safetensors", "repo": "Qwen/Qwen3-8B", "file": None, "size_bytes": 16_380_000_000},
            {
                "format": "gguf", "repo": "Qwen/Qwen3-8B-GGUF", "file": "Qwen3-8B-Q4_K_M.gguf",
                "size_bytes": 5_030_000_000,
            },
        ],
    }  # fmt: skip
