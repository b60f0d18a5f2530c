"""The cache by hand: what is in it, in which condition, and what goes when something is removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import house, removal
from llmserve.models.condition import condition
from llmserve.models.house import Entry
from tests.fakes.hub_cache import COMMIT, age, blob_name, put
from tests.unit.models.checkpoints import safetensors

OTHER = "b" * 40
CONFIG = json.dumps({"torch_dtype": "bfloat16"}).encode()
WEIGHTS = safetensors({"a": ("BF16", (8, 8))})
MODEL = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}
QUANTISED = {"config.json": b'{"quantization_config": {"quant_method": "fp8"}}'}


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    return home / "hub"


def only(cache: Path) -> Entry:
    (entry,) = house.scan(cache)
    return entry


def files_of(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file() or path.is_symlink()}


def test_an_empty_or_missing_cache_holds_nothing(cache: Path) -> None:
    assert house.scan() == ()
    cache.mkdir()
    assert house.scan() == ()


def test_models_are_listed_by_name_and_nothing_else(cache: Path) -> None:
    for repo in ("org/Zeta", "org/alpha", "gpt2"):
        put(cache, repo, MODEL)
    for other in ("datasets--org--data", "spaces--org--demo", ".locks", "blobs"):
        (cache / other / "blobs").mkdir(parents=True)
    (cache / "version.txt").write_text("1")
    (cache / "models--").mkdir()
    assert [entry.repo for entry in house.scan()] == ["gpt2", "org/alpha", "org/Zeta"]


def test_sizes_count_what_is_on_the_disk_once(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    put(cache, "org/a", MODEL | {"README.md": b"new"}, commit=OTHER, ref="v2")
    (cache / "models--org--a/blobs/ab.incomplete").write_bytes(b"x" * 5000)
    entry = only(cache)
    assert entry.size_bytes == sum(map(len, MODEL.values())) + 3 + 5000
    assert entry.partial_bytes == 5000
    assert [(one.commit, one.refs) for one in entry.snapshots] == [(COMMIT, ("main",)), (OTHER, ("v2",))]


def test_a_partial_file_with_holes_counts_what_it_takes(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    with (cache / "models--org--a/blobs/ab.incomplete").open("wb") as file:
        file.truncate(10**9)
    assert only(cache).partial_bytes < 10**6


def test_files_without_links_count_too(cache: Path) -> None:
    """File systems without symbolic links hold the files in the snapshots themselves."""
    snapshot = cache / "models--org--a" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.gguf").write_bytes(b"x" * 1000)
    assert only(cache).size_bytes == 1000
    removal.carry_out(removal.everything(only(cache)))
    assert house.scan() == ()


def test_the_last_use_is_that_of_the_weights(cache: Path) -> None:
    snapshot = put(cache, "org/a", MODEL, days=40)
    os.utime((snapshot / "config.json").resolve())  # read by whoever lists models
    assert 39.9 < only(cache).unused_seconds / 86400 < 40.1
    age((snapshot / "model.safetensors").resolve(), 3)
    assert 2.9 < only(cache).unused_seconds / 86400 < 3.1


def test_looking_is_no_use(cache: Path) -> None:
    snapshot = put(cache, "org/a", {"config.json": CONFIG, "tokenizer.json": b"{}"}, days=40)
    before = (snapshot / "config.json").stat().st_atime
    condition(only(cache))
    assert (snapshot / "config.json").stat().st_atime == before
    assert only(cache).unused_seconds > 39 * 86400


def test_a_time_in_the_future_is_now(cache: Path) -> None:
    put(cache, "org/a", MODEL, days=-10)
    assert only(cache).unused_seconds == 0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (MODEL, "safetensors bf16"),
        (MODEL | QUANTISED, "safetensors fp8"),
        (MODEL | {"config.json": b"not JSON"}, "safetensors"),
        (MODEL | {"config.json": b'{"quantization_config": {"quant_method": 7}}'}, "safetensors ?"),
        (MODEL | {"config.json": b'{"text_config": {"dtype": "float16"}}'}, "safetensors fp16"),
        ({"m-Q4_K_M.gguf": b"GGUF", "m-Q8_0.gguf": b"GGUF8"}, "gguf Q4_K_M, Q8_0"),
        ({"UD-IQ2_XXS/m-UD-IQ2_XXS.gguf": b"GGUF"}, "gguf UD-IQ2_XXS"),
        ({"Qwen3-8B-BF16.gguf": b"GGUF"}, "gguf BF16"),
        ({"gpt-oss-20b-mxfp4.gguf": b"GGUF"}, "gguf MXFP4"),
        ({"model.gguf": b"GGUF"}, "gguf ?"),
        ({"config.json": CONFIG, "pytorch_model.bin": b"x"}, "pickle bf16"),
        ({"notes.txt": b"x"}, "-"),
    ],
)
def test_formats_and_quantisations(cache: Path, files: dict[str, bytes], words: str) -> None:
    put(cache, "org/a", files)
    assert condition(only(cache)).words == words


def test_a_model_is_complete_when_serving_lacks_nothing(cache: Path) -> None:
    put(cache, "org/a", MODEL, tree=True)
    assert condition(only(cache)).complete


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_that_lacks_a_file_is_partial(cache: Path, lacking: str) -> None:
    snapshot = put(cache, "org/a", MODEL, tree=True)
    (snapshot / lacking).unlink()
    assert not condition(only(cache)).complete


def test_a_link_to_nothing_is_a_lack(cache: Path) -> None:
    snapshot = put(cache, "org/a", MODEL)
    (snapshot / "model.safetensors").resolve().unlink()
    entry = only(cache)
    assert [file.name for file in entry.snapshots[0].files if file.size_bytes is None] == ["model.safetensors"]
    assert not condition(entry).complete


def test_split_files_are_complete_together(cache: Path) -> None:
    put(cache, "org/a", {"m-Q8_0-00001-of-00002.gguf": b"1"})
    assert not condition(only(cache)).complete
    shutil.rmtree(cache)
    put(cache, "org/a", {"m-Q8_0-00001-of-00002.gguf": b"1", "m-Q8_0-00002-of-00002.gguf": b"2"})
    assert condition(only(cache)).complete


def test_a_download_that_has_only_begun_is_partial(cache: Path) -> None:
    blobs = cache / "models--org--a" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "ab.incomplete").write_bytes(b"x" * 100)
    entry = only(cache)
    assert (entry.snapshots, condition(entry).complete) == ((), False)
    assert entry.unused_seconds < 60


def test_the_whole_repository_goes(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    put(cache, "org/b", MODEL)
    (cache / "models--org--a/blobs/ab.incomplete").write_bytes(b"x")
    gone = removal.everything(house.scan()[0])
    assert gone.freed_bytes == sum(map(len, MODEL.values())) + 1
    removal.carry_out(gone)
    assert [entry.repo for entry in house.scan()] == ["org/b"]
    assert not (cache / "models--org--a").exists()


def test_a_revision_goes_and_leaves_what_others_need(cache: Path) -> None:
    put(cache, "org/a", MODEL, tree=True)
    put(cache, "org/a", MODEL | {"config.json": b"{ }"}, commit=OTHER, ref="v2", tree=True)
    gone = removal.revision(only(cache), "v2")
    assert gone.freed_bytes == 3
    removal.carry_out(gone)
    left = only(cache)
    assert [one.commit for one in left.snapshots] == [COMMIT]
    assert condition(left).complete
    assert files_of(cache) == {"main", f"{COMMIT}.json", *MODEL, *(blob_name(*item) for item in MODEL.items())}


def test_a_revision_is_found_by_the_beginning_of_its_commit(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    put(cache, "org/a", MODEL, commit=OTHER, ref=None)
    removal.carry_out(removal.revision(only(cache), "bbbbbb"))
    assert [one.commit for one in only(cache).snapshots] == [COMMIT]
    removal.carry_out(removal.revision(only(cache), "main"))  # the last one takes all
    assert not (cache / "models--org--a").exists()
    put(cache, "org/a", MODEL)
    with pytest.raises(UsageError, match="no revision 'v9'"):
        removal.revision(only(cache), "v9")


def test_one_quantisation_goes(cache: Path) -> None:
    put(cache, "org/a", {"m-Q4_K_M.gguf": b"four", "m-Q8_0.gguf": b"eight", "README.md": b"#"})
    gone = removal.selection(only(cache), "q8_0")
    assert gone.freed_bytes == 5
    removal.carry_out(gone)
    left = only(cache)
    assert {file.name for file in left.snapshots[0].files} == {"m-Q4_K_M.gguf", "README.md"}
    assert blob_name("m-Q8_0.gguf", b"eight") not in files_of(cache)
    with pytest.raises(UsageError, match="no GGUF file 'Q2_K'") as caught:
        removal.selection(left, "Q2_K")
    assert "m-Q4_K_M.gguf" in (caught.value.hint or "")
    removal.carry_out(removal.selection(left, "Q4_K_M"))
    assert not (cache / "models--org--a").exists()


def test_the_same_content_under_two_names_stays_for_the_other(cache: Path) -> None:
    put(cache, "org/a", {"m-Q4_K_M.gguf": b"same"})
    put(cache, "org/a", {"m-Q8_0.gguf": b"same"})
    removal.carry_out(removal.selection(only(cache), "Q8_0"))
    assert (cache / "models--org--a/snapshots" / COMMIT / "m-Q4_K_M.gguf").read_bytes() == b"same"


def test_unfinished_files_go_alone(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    blobs = cache / "models--org--a/blobs"
    (blobs / "ab.incomplete").write_bytes(b"x" * 100)
    (blobs / "ab.incomplete.json").write_bytes(b"{}")
    assert removal.unfinished(only(cache), before=time.time() - 3600) is None
    gone = removal.unfinished(only(cache))
    assert gone is not None
    removal.carry_out(gone)
    assert only(cache).partials == ()
    assert condition(only(cache)).complete
    assert removal.unfinished(only(cache)) is None


def test_nothing_but_unfinished_files_takes_the_repository(cache: Path) -> None:
    blobs = cache / "models--org--a/blobs"
    blobs.mkdir(parents=True)
    (blobs / "ab.incomplete").write_bytes(b"x" * 100)
    gone = removal.unfinished(only(cache))
    assert gone is not None
    assert gone.whole


def test_a_link_out_of_the_cache_is_not_followed_by_removal(cache: Path, home: Path) -> None:
    mine = home / "mine.gguf"
    mine.write_bytes(b"precious")
    snapshot = put(cache, "org/a", {"m-Q4_K_M.gguf": b"four"})
    put(cache, "org/a", {"m-Q4_K_M.gguf": b"four"}, commit=OTHER, ref="v2")
    (snapshot / "m-Q8_0.gguf").symlink_to(mine)
    removal.carry_out(removal.selection(only(cache), "Q8_0"))
    assert not (snapshot / "m-Q8_0.gguf").is_symlink()
    (snapshot / "m-Q8_0.gguf").symlink_to(mine)
    removal.carry_out(removal.revision(only(cache), "main"))
    assert mine.read_bytes() == b"precious"


def test_shared_blobs_stay_for_the_other_repository(cache: Path) -> None:
    """The hub's client keeps Xet files once for all repositories: blobs are links into a store with its own books."""
    store = cache / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True)
    store.write_bytes(WEIGHTS)
    (cache / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    name = blob_name("model.safetensors", WEIGHTS)
    for repo in ("a", "b"):
        snapshot = put(cache, f"org/{repo}", MODEL)
        blob = (snapshot / "model.safetensors").resolve()
        blob.unlink()
        blob.symlink_to(os.path.relpath(store, blob.parent))
    store.with_name(store.name + ".refs").write_text(f"models--org--a/blobs/{name}\nmodels--org--b/blobs/{name}\n")
    first, second = house.scan()
    assert condition(first).complete
    removal.carry_out(removal.everything(first))
    assert store.read_bytes() == WEIGHTS
    removal.carry_out(removal.everything(second))
    assert not store.exists()


def test_a_cache_that_cannot_be_written_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "org/a", MODEL)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(LlmserveError, match="cannot be written: Read-only file system") as caught:
        removal.carry_out(removal.everything(only(cache)))
    assert caught.value.code == "cache_not_writable"


def test_a_lock_tells_that_a_download_is_at_work(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    locks = cache / ".locks" / "models--org--a"
    locks.mkdir(parents=True)
    assert not removal.being_fetched(only(cache))
    with (locks / "ab.lock").open("w") as file:
        assert not removal.being_fetched(only(cache))
        fcntl.flock(file, fcntl.LOCK_EX)
        assert removal.being_fetched(only(cache))
    assert not removal.being_fetched(only(cache))


def test_listing_imports_nothing_of_the_hub(cache: Path) -> None:
    put(cache, "org/a", MODEL)
    script = (
        "import sys; from llmserve.app import run; run(['ls']); "
        "print([m for m in ('huggingface_hub', 'httpx2', 'rich.console', 'typer.rich_utils') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "org/a" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
