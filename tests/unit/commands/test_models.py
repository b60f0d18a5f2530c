from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmserve import app, hardware
from llmserve.models.recipes import catalogue
from tests.fakes.machines import laptop

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hardware, "detect", lambda: laptop(16, 12))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert app.run(["models", *args]) == code
    out, err = capsys.readouterr()
    return out, err


def rows(out: str) -> dict[str, str]:
    """The rows of a table by name, their columns with one space between."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}


def cache_gguf(cache: Path, repo: str, name: str) -> None:
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / name).write_bytes(b"GGUF")


def test_the_table_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys)
    lines = [line for line in out.splitlines() if line]
    assert lines[0].split() == ["NAME", "SIZE", "CONTEXT", "FITS", "NOTES"]
    assert [line.split()[0] for line in lines[1:]] == [recipe.name for recipe in catalogue()]
    assert "org/name" in err


def test_the_table_fits_a_terminal_and_sets_families_apart(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["--machine", "h100x2"], ["--machine", "b200x8"]):
        out, _ = run(capsys, *args)
        assert max(len(line) for line in out.splitlines()) <= 80
        blocks = [[line.split()[0] for line in block.splitlines()] for block in out.split("\n\n")]
        assert ["phi-4-mini", "phi-4"] in blocks
        assert "bge-m3" in blocks[-1]
        assert "qwen3-embedding-8b" in blocks[-1]


def test_the_columns_say_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(run(capsys)[0])
    assert table["qwen3-8b"] == "16 GB 40k gguf 5.0 GB -"
    assert table["llama-3-8b"] == "16 GB 8k gguf 4.9 GB gated"
    assert table["llama-3.3-70b"] == "141 GB 128k needs 192 GB gated"
    assert table["kimi-k2"] == "1.0 TB 128k needs 1440 GB -"
    assert table["llama-4-scout"] == "217 GB 10M needs 282 GB gated"
    assert table["bge-small-en-v1.5"] == "0.1 GB 512 gguf 37 MB embed"
    assert table["tiny"] == "- 2k built in -"


def test_another_machine_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(run(capsys, "--machine", "h100x2")[0])
    assert table["qwen3-8b"] == "16 GB 40k yes -"
    assert table["llama-3.3-70b"] == "141 GB 128k 2 GPUs gated"
    assert table["qwen3-next-80b-a3b"] == "163 GB 256k fp8 2 GPUs -"
    assert table["qwen3-235b-a22b"] == "470 GB 40k int4 2 GPUs -"
    assert table["deepseek-r1"] == "689 GB 160k needs 1128 GB -"


def test_only_those_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "-q", "--fits")[0].split()
    assert "qwen3-8b" in shown
    assert "llama-3.3-70b" not in shown


def test_words_choose_among_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-q", "qwen3", "coder")[0].split() == ["qwen3-coder-30b-a3b", "qwen3-coder-480b-a35b"]
    shown = run(capsys, "-q", "qwen3")[0].split()
    assert "qwen3-8b" in shown
    assert "deepseek-r1-distill-qwen-32b" not in shown
    assert run(capsys, "-q", "LLAMA3")[0].split()[0] == "llama-3.2-1b"
    assert "bge-m3" in run(capsys, "-q", "embed")[0].split()
    assert run(capsys, "-q", "zai-org")[0].split() == ["glm-4.5-air", "glm-4.6", "glm-4.5", "glm-5"]


def test_one_model_is_described_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "Qwen3_8B")
    assert out == (
        "name          qwen3-8b\n"
        "also          qwen3\n"
        "family        qwen3\n"
        "parameters    8B\n"
        "licence       Apache-2.0\n"
        "context       40,960 tokens\n"
        "safetensors   Qwen/Qwen3-8B, 16 GB\n"
        "gguf          Qwen/Qwen3-8B-GGUF:Qwen3-8B-Q4_K_M.gguf, 5.0 GB\n"
        "fp8           Qwen/Qwen3-8B-FP8, 9.4 GB\n"
        "awq-int4      Qwen/Qwen3-8B-AWQ, 6.1 GB\n"
        "tool calls    qwen25\n"
        "reasoning     qwen3\n"
        "sampling      temperature 0.6, top_p 0.95, top_k 20, min_p 0.0\n"
        "needs         24 GB of GPU memory for safetensors\n"
        "fits          gguf 5.0 GB\n"
    )
    assert "llmserve plan qwen3-8b" in err


def test_a_word_that_no_model_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "qwen3-9b", code=2)
    assert out == ""
    assert "No known model is called 'qwen3-9b'." in err
    assert "Did you mean qwen3" in err


def test_quiet_prints_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "-q")
    assert out.split() == [recipe.name for recipe in catalogue()]
    assert err == ""


def test_what_is_cached_is_marked(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    cache_gguf(cache, "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf")
    cache_gguf(cache, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q8_0.gguf")
    assert run(capsys, "-q", "--cached")[0].split() == ["qwen3-8b", "tiny"]
    assert rows(run(capsys)[0])["qwen3-8b"].endswith(" cached")


def test_json_has_the_whole_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    envelope: dict[str, Any] = json.loads(run(capsys, "--json", "qwen3-8b")[0])
    assert envelope["data"]["models"] == [{
        "name": "qwen3-8b", "aliases": ["qwen3"], "family": "qwen3", "task": "generate", "parameters": "8B",
        "license": "Apache-2.0", "gated": False, "context": 40960, "minimum_gb": 24,
        "sources": [
            {"format": "safetensors", "repo": "Qwen/Qwen3-8B", "file": None, "size_bytes": 16_380_000_000},
            {
                "format": "gguf", "repo": "Qwen/Qwen3-8B-GGUF", "file": "Qwen3-8B-Q4_K_M.gguf",
                "size_bytes": 5_030_000_000,
            },
        ],
        "variants": [
            {"repo": "Qwen/Qwen3-8B-FP8", "quantization": "fp8", "size_bytes": 9_450_000_000},
            {"repo": "Qwen/Qwen3-8B-AWQ", "quantization": "awq-int4", "size_bytes": 6_090_000_000},
        ],
        "tool_call_parser": "qwen25", "reasoning_parser": "qwen3",
        "sampling": {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0},
        "notes": [], "cached": [],
        "fits": {"form": "gguf", "repo": "Qwen/Qwen3-8B-GGUF", "size_bytes": 5_030_000_000, "gpus": 0},
    }]  # fmt: skip


def test_the_whole_catalogue_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    envelope: dict[str, Any] = json.loads(run(capsys, "--json")[0])
    assert [model["name"] for model in envelope["data"]["models"]] == [recipe.name for recipe in catalogue()]
