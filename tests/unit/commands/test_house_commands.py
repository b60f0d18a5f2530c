"""``ls``, ``rm``, ``prune`` and ``verify`` on a cache made by hand."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve import app
from llmserve.engine import registry
from llmserve.engine.server import Server
from llmserve.models import house
from tests.fakes.hub_cache import blob_name, put
from tests.fakes.plans import qwen3_8b_plan
from tests.unit.models.checkpoints import safetensors

MODEL = {
    "config.json": b'{"torch_dtype": "bfloat16"}', "tokenizer.json": b"{}",
    "model.safetensors": safetensors({"a": ("BF16", (1024, 1024))}),
}  # fmt: skip
GGUF = {"m-Q4_K_M.gguf": b"GGUF4", "m-Q8_0.gguf": b"GGUF8"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


@pytest.fixture
def three(cache: Path) -> Path:
    put(cache, "org/new", MODEL, days=0.1)
    put(cache, "org/old-GGUF", GGUF, days=90)
    put(cache, "Qwen/Qwen3-8B", MODEL, days=40, tree=True)
    (cache / "datasets--org--data" / "snapshots" / ("a" * 40)).mkdir(parents=True)
    return cache


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert app.run(list(args)) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, err


def envelope(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> dict[str, Any]:
    out, err = run(capsys, *args, "--json", code=code)
    assert err == ""
    body: dict[str, Any] = json.loads(out)
    assert body["exit_code"] == code
    return body


def serve(monkeypatch: pytest.MonkeyPatch, weights: Path | None, model: str = "m", state: str = "ready") -> None:
    server = Server(
        name="mine", directory="/nowhere", url="http://127.0.0.1:1/v1", host="127.0.0.1", port=1, model=model,
        engine="sglang", engine_version="1", plan=qwen3_8b_plan(), weights=str(weights) if weights else None,
    )  # fmt: skip
    monkeypatch.setattr(registry, "running", lambda: [replace(server, state=state)])  # type: ignore[arg-type]


def names() -> list[str]:
    return [entry.repo for entry in house.scan()]


def test_ls_shows_the_last_used_first(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "ls")
    lines = out.splitlines()
    assert lines[0].split() == ["MODEL", "FORMAT", "SIZE", "LAST", "USE", "STATE", "SERVER"]
    assert lines[1].split() == ["org/new", "safetensors", "bf16", "2.0", "MiB", "2", "h", "ago", "complete", "-"]
    assert lines[2].split()[:1] + lines[2].split()[-5:] == ["Qwen/Qwen3-8B", "40", "d", "ago", "complete", "-"]
    assert lines[3].startswith("org/old-GGUF")
    assert "gguf Q4_K_M, Q8_0" in lines[3]
    assert lines[5].startswith(f"3 models, 4.0 MiB in {three}; ")


def test_ls_sorts(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "ls", "-q")[0].split() == ["org/new", "Qwen/Qwen3-8B", "org/old-GGUF"]
    assert run(capsys, "ls", "-q", "--sort", "name")[0].split() == ["org/new", "org/old-GGUF", "Qwen/Qwen3-8B"]
    assert run(capsys, "ls", "-q", "--sort", "size")[0].split()[-1] == "org/old-GGUF"


def test_ls_as_data(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = envelope(capsys, "ls")["data"]
    assert data["cache"] == str(three)
    first = data["models"][0]
    assert (first["repo"], first["format"], first["quantizations"]) == ("org/new", "safetensors", ["bf16"])
    assert (first["complete"], first["unfinished_bytes"], first["servers"]) == (True, 0, [])
    assert first["revisions"] == [{"commit": "a" * 40, "refs": ["main"]}]
    assert data["size_bytes"] == sum(model["size_bytes"] for model in data["models"])


def test_ls_of_nothing_is_a_sentence(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "ls")
    assert out == f"The cache holds no models: {cache}.\n"
    assert "llmserve pull" in err
    assert run(capsys, "ls", "-q") == ("", "")
    assert envelope(capsys, "ls")["data"]["models"] == []


def test_ls_knows_who_uses_a_model(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, three / "models--org--new" / "snapshots" / ("a" * 40))
    out, _ = run(capsys, "ls")
    assert out.splitlines()[1].split()[-3:] == ["now", "complete", "mine"]
    assert [model["servers"] for model in envelope(capsys, "ls")["data"]["models"]] == [["mine"], [], []]


def test_servers_of_earlier_versions_are_known_by_their_model(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, repo in (("qwen3-8b", "Qwen/Qwen3-8B"), ("org/new", "org/new"), ("org/old-GGUF-Q8_0", "org/old-GGUF")):
        serve(monkeypatch, None, model)
        used = [one["repo"] for one in envelope(capsys, "ls")["data"]["models"] if one["servers"]]
        assert used == [repo]


def test_rm_needs_a_yes(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "rm", "org/new", code=2)
    assert err == "error: Removing org/new needs a yes.\n  Add -y.\n"
    assert len(names()) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("n\n", 3)])
def test_rm_asks_on_a_terminal(three: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    monkeypatch.setenv("TERM", "xterm")
    app.run(["rm", "org/new"])
    assert "Remove org/new (2.0 MiB)?" in terminal.getvalue()
    assert len(names()) == left


def test_rm_removes(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "rm", "org/new", "qwen3-8b", "-y")
    assert out == "Removed org/new, Qwen/Qwen3-8B: 4.0 MiB freed.\n"
    assert names() == ["org/old-GGUF"]
    assert (three / "datasets--org--data").is_dir()


def test_rm_removes_one_quantisation(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = envelope(capsys, "rm", "org/old-GGUF:Q8_0", "-y")["data"]
    assert data == {
        "removed": [{"repo": "org/old-GGUF", "what": "org/old-GGUF:Q8_0", "freed_bytes": 5}],
        "freed_bytes": 5,
    }
    assert len(names()) == 3


def test_rm_of_what_is_not_there_names_the_nearest(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "rm", "org/new", "org/old-GUF", "-y", code=2)
    assert err == "error: There is no org/old-GUF in the cache.\n  Did you mean org/old-GGUF?\n"
    assert len(names()) == 3  # nothing is removed if one name is wrong
    assert "`llmserve ls`" in run(capsys, "rm", "zzzzzzz", "-y", code=2)[1]
    assert envelope(capsys, "rm", "qwen38b", "-y", code=0)["data"]["removed"][0]["repo"] == "Qwen/Qwen3-8B"


def test_rm_in_an_empty_cache(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "rm", "org/new", "-y", code=2)
    assert err == f"error: There is no org/new in the cache.\n  The cache ({cache}) holds no models.\n"


def test_rm_refuses_what_a_server_uses(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, three / "models--org--new" / "snapshots" / ("a" * 40), state="starting")
    _, err = run(capsys, "rm", "org/old-GGUF", "org/new", "-y", code=1)
    assert err.startswith("error: org/new is used by the running server mine.\n")
    assert "`llmserve down mine`" in err
    assert len(names()) == 3
    run(capsys, "rm", "org/new", "-y", "--force")
    assert len(names()) == 2


def test_rm_refuses_what_is_being_fetched(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locks = three / ".locks" / "models--org--new"
    locks.mkdir(parents=True)
    with (locks / "ab.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "being fetched" in run(capsys, "rm", "org/new", "-y", code=1)[1]
    run(capsys, "rm", "org/new", "-y")


def test_rm_of_a_revision(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(three, "org/new", MODEL | {"config.json": b"{ }"}, commit="b" * 40, ref="v2")
    assert run(capsys, "rm", "org/new", "--revision", "v2", "-y")[0] == "Removed org/new at v2: 0.0 MiB freed.\n"
    _, err = run(capsys, "rm", "org/new", "--revision", "v2", "-y", code=2)
    assert "It has: aaaaaaaaaaaa main." in err
    assert "one model" in run(capsys, "rm", "org/new", "org/old-GGUF", "--revision", "v2", code=2)[1]


def test_rm_in_a_read_only_cache_is_one_sentence(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    _, err = run(capsys, "rm", "org/new", "-y", code=1)
    assert err.startswith(f"error: org/new could not be removed: the cache {three} cannot be written: Read-only")


def test_prune_needs_to_know_what(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--older-than 30d" in run(capsys, "prune", code=2)[1]
    for wrong in ("30", "d", "-3d", "1 month", "nan d", ""):
        assert "not a length of time" in run(capsys, "prune", "--older-than", wrong, "-y", code=2)[1]
    assert len(names()) == 3


def test_prune_removes_by_last_use(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "prune", "--older-than", "30d", "--dry-run")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["org/old-GGUF", "Qwen/Qwen3-8B"]
    assert out.splitlines()[-1] == "2.0 MiB would be freed."
    assert len(names()) == 3
    assert "needs a yes" in run(capsys, "prune", "--older-than", "30d", code=2)[1]
    data = envelope(capsys, "prune", "--older-than", "8w", "-y")["data"]
    assert [one["repo"] for one in data["removed"]] == ["org/old-GGUF"]
    assert names() == ["org/new", "Qwen/Qwen3-8B"]
    assert (three / "datasets--org--data").is_dir()
    assert run(capsys, "prune", "--older-than", "8w", "-y")[0] == "There is nothing to remove.\n"


def test_prune_leaves_what_is_in_use(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, three / "models--org--old-GGUF" / "snapshots" / ("a" * 40) / "m-Q8_0.gguf")
    _, err = run(capsys, "prune", "--older-than", "30d", "-y")
    assert "org/old-GGUF stays: in use." in err
    assert names() == ["org/new", "org/old-GGUF"]


def test_prune_of_unfinished_downloads(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (three / "models--org--new/blobs/ab.incomplete").write_bytes(b"x" * 1_048_576)
    out, _ = run(capsys, "prune", "--partial", "-y")
    assert out.splitlines()[-1] == "1.0 MiB were freed."
    assert len(names()) == 3
    assert all(entry.partials == () for entry in house.scan())


def test_verify_says_that_all_is_right(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "verify", "qwen3-8b")
    assert out == "Qwen/Qwen3-8B: all 3 files (2.0 MiB) are right.\n"
    assert "The hub cannot be reached" in err
    assert "The hub" not in run(capsys, "verify", "qwen3-8b", "--offline")[1]
    assert run(capsys, "verify", "qwen3-8b", "-q") == ("Qwen/Qwen3-8B\n", "")


def test_verify_names_what_is_damaged(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = (three / "models--Qwen--Qwen3-8B/snapshots" / ("a" * 40) / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    out, err = run(capsys, "verify", "qwen3-8b", "--offline", code=1)
    assert out.splitlines()[1].startswith("model.safetensors   has another content: its SHA-256")
    assert "error: 1 of 3 files of Qwen/Qwen3-8B is damaged: model.safetensors.\n" in err
    body = envelope(capsys, "verify", "qwen3-8b", "--offline", code=1)
    assert body["errors"][0]["data"] == {"repo": "Qwen/Qwen3-8B", "files": ["model.safetensors"]}
    assert body["data"]["damaged"][0]["problem"] == "hash"
    assert run(capsys, "verify", "qwen3-8b", "--offline", "-q", code=1)[0] == "model.safetensors\n"


def test_verify_cannot_mend_without_the_hub(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = (three / "models--org--new/snapshots" / ("a" * 40) / "config.json").resolve()
    blob.write_bytes(b"{}")
    _, err = run(capsys, "verify", "org/new", "--fix", code=1)
    assert "The hub at http://127.0.0.1:9 cannot be reached" in err
    assert blob.exists()
    assert "--offline" in run(capsys, "verify", "org/new", "--fix", "--offline", code=2)[1]


def test_verify_of_an_incomplete_model_points_at_pull(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (three / "models--Qwen--Qwen3-8B/snapshots" / ("a" * 40) / "tokenizer.json").unlink()
    _, err = run(capsys, "verify", "qwen3-8b", "--offline")
    assert "`llmserve pull Qwen/Qwen3-8B`" in err


def test_verify_of_what_has_only_begun(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / "models--org--a/blobs").mkdir(parents=True)
    (cache / "models--org--a/blobs/ab.incomplete").write_bytes(b"x")
    assert "No file of org/a is complete yet." in run(capsys, "verify", "org/a", code=1)[1]


def test_verify_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "usb"
    for name, content in MODEL.items():
        note = folder / ".cache/huggingface/download" / f"{name}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{'a' * 40}\n{blob_name(name, content)}\n1.0\n")
        (folder / name).write_bytes(content)
    assert "all 3 files (2.0 MiB) are right." in run(capsys, "verify", str(folder))[0]
    (folder / "config.json").write_bytes(b"{}")
    (folder / "tokenizer.json").unlink()
    out, err = run(capsys, "verify", str(folder), code=1)
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["config.json", "tokenizer.json"]
    assert f"`llmserve pull MODEL --to {folder}`" in err
    assert "does not say which model" in run(capsys, "verify", str(folder), "--fix", code=2)[1]
    (folder / ".cache/huggingface/download/config.json.metadata").write_bytes(b"\xff")
    assert run(capsys, "verify", str(folder), "-q", code=1)[0] == "tokenizer.json\n"
    assert "Nobody noted" in run(capsys, "verify", str(tmp_path), code=2)[1]


def test_verify_bad_names(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean org/new?" in run(capsys, "verify", "org/newer", code=2)[1]
    assert "no revision 'v7'" in run(capsys, "verify", "org/new", "--revision", "v7", code=2)[1]


@pytest.mark.parametrize("command", ["ls", "rm", "prune", "verify"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, command, "--help")
    assert "Examples:" in out
    assert f"\n    llmserve {command}" in out
