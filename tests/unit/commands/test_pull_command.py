"""``llmserve pull`` as it is typed, against a fake hub."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from llmserve import app, hardware, models
from llmserve.commands import pull
from llmserve.output import Output
from tests.fakes.hub import FakeHub, Repo
from tests.fakes.machines import gpus, laptop
from tests.unit.models.checkpoints import LLAMA, gguf, llama_gguf, safetensors

WEIGHTS = safetensors({f"model.layers.{layer}.mlp.up_proj.weight": ("BF16", (256, 256)) for layer in range(4)})
GGUF = gguf(llama_gguf(general__name="x"))
OTHER = gguf(llama_gguf(general__name="another"))
FILES = {
    "config.json": json.dumps(LLAMA).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "modeling_x.py": b"raise SystemExit",
    "README.md": b"#",
}


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """``org/plain``, ``org/both`` with two formats, ``org/tiny-GGUF``, and the repositories of qwen3-8b."""
    import huggingface_hub
    from huggingface_hub import constants

    quantised = {"x-Q4_K_M.gguf": GGUF, "x-Q8_0.gguf": OTHER}
    repos = {
        "org/plain": Repo(FILES),
        "org/both": Repo(FILES | quantised),
        "org/tiny-GGUF": Repo(quantised),
        "Qwen/Qwen3-8B": Repo(FILES),
        "Qwen/Qwen3-8B-GGUF": Repo({"Qwen3-8B-Q4_K_M.gguf": GGUF, "Qwen3-8B-Q8_0.gguf": OTHER}),
    }
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hardware, "detect", lambda: laptop())
    with FakeHub(repos) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake
        huggingface_hub.close_session()


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert app.run(["pull", *args]) == code
    out, err = capsys.readouterr()
    return out, err


def data(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> dict[str, Any]:
    out, _ = run(capsys, *args, "--json", code=code)
    body: dict[str, Any] = json.loads(out)
    return body["data"] if code == 0 else body


def bodies(hub: FakeHub) -> set[str]:
    return {name for name, count in hub.served.items() if count}


def test_a_dry_run_says_what_would_come_and_fetches_nothing(capsys: pytest.CaptureFixture[str], hub: FakeHub) -> None:
    out, err = run(capsys, "org/plain", "--dry-run")
    rows = [line.split() for line in out.splitlines()]
    assert ["0.5", "MiB", "weights", "model.safetensors"] in rows
    assert ["16", "B", "code,", "taken", "only", "with", "--code", "modeling_x.py"] in rows
    assert "Fetch  0.5 MiB\n" in out
    assert "~/hf/hub/models--org--plain (" in out
    assert err == ""
    assert bodies(hub) == set()


def test_a_dry_run_as_data(capsys: pytest.CaptureFixture[str], hub: FakeHub) -> None:
    plan = data(capsys, "org/plain", "--dry-run")["plan"]
    assert (plan["repo"], plan["revision"], plan["commit"]) == ("org/plain", "main", hub.repos["org/plain"].commit)
    assert {file["name"] for file in plan["files"]} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert {file["name"]: file["why"] for file in plan["skipped"]}["README.md"] == "for reading"
    assert plan["missing_bytes"] == plan["total_bytes"] == sum(file["size_bytes"] for file in plan["files"])
    out, _ = run(capsys, "org/plain", "--dry-run", "-q")
    assert out.split() == ["model.safetensors", "config.json", "tokenizer.json"]


def test_a_model_is_fetched_once(capsys: pytest.CaptureFixture[str], hub: FakeHub) -> None:
    out, err = run(capsys, "org/plain")
    assert "org/plain is complete: 3 files" in out
    assert out.splitlines()[-1] == "Serve it: llmserve up org/plain"
    assert "Left out:" in err
    assert models.is_cached(models.resolve("org/plain"))
    hub.served.clear()
    again = data(capsys, "org/plain")
    assert (again["fetched_bytes"], bodies(hub)) == (0, set())
    assert (Path(again["path"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_script_gets_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "org/tiny-GGUF:Q8_0", "-q")
    assert Path(out.strip()).name == "x-Q8_0.gguf"
    assert err == ""


@pytest.mark.parametrize(
    ("args", "file", "command"),
    [
        (("org/plain",), "model.safetensors", "llmserve up org/plain"),
        (("org/plain", "--revision", "main"), "model.safetensors", "llmserve up org/plain --revision main"),
        (("org/plain", "--exclude", "tokenizer.json"), "model.safetensors", None),
        (("org/plain", "--include", "*.json"), "config.json", None),
        (("org/both",), "model.safetensors", "llmserve up org/both"),
        (("org/both", "--format", "gguf"), "x-Q4_K_M.gguf", "llmserve up org/both:x-Q4_K_M.gguf"),
        (("org/both", "--quant", "Q8_0"), "x-Q8_0.gguf", "llmserve up org/both:Q8_0"),
        (("org/tiny-GGUF", "--quant", "Q8_0"), "x-Q8_0.gguf", "llmserve up org/tiny-GGUF:Q8_0"),
        (("qwen3-8b",), "Qwen3-8B-Q4_K_M.gguf", "llmserve up qwen3-8b"),
        (("qwen3-8b", "--quant", "Q8_0"), "Qwen3-8B-Q8_0.gguf", "llmserve up qwen3-8b:Q8_0"),
        (("qwen3-8b", "--format", "safetensors"), "model.safetensors", "llmserve up qwen3-8b --engine sglang"),
    ],
)
def test_what_is_fetched_and_how_it_is_served(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], file: str, command: str | None
) -> None:
    done = data(capsys, *args)
    assert done["plan"]["files"][0]["name"] == file
    assert done["command"] == command


@pytest.mark.parametrize("args", [("org/both:x-Q4_K_M.gguf",), ("org/both:Q8_0",), ("qwen3-8b:Q8_0",), ("org/plain",)])
def test_the_command_that_is_named_finds_what_was_fetched(capsys: pytest.CaptureFixture[str], args: tuple[str]) -> None:
    command = data(capsys, *args)["command"]
    candidate = models.resolve(command.split()[2])
    assert models.is_cached(candidate, candidate.formats[0])


def test_the_format_is_that_of_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "detect", lambda: gpus(1, total_gib=80))
    assert data(capsys, "qwen3-8b", "--dry-run")["plan"]["repo"] == "Qwen/Qwen3-8B"


def test_a_plain_folder_for_a_machine_without_a_network(
    capsys: pytest.CaptureFixture[str], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "usb stick"
    done = data(capsys, "org/plain", "--to", str(to))
    assert done["command"] == f"llmserve up '{to}'"
    assert {item.name for item in to.iterdir() if item.is_file()} >= {"config.json", "model.safetensors"}
    assert not any(item.is_symlink() for item in to.rglob("*"))
    assert not (tmp_path / "hf" / "hub" / "models--org--plain" / "blobs").exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert models.resolve(str(to)).formats == ("safetensors",)


def test_a_plain_folder_is_filled_from_the_cache(
    capsys: pytest.CaptureFixture[str], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "org/plain")
    hub.served.clear()
    done = data(capsys, "org/plain", "--to", str(tmp_path / "usb"))
    assert (done["fetched_bytes"], bodies(hub)) == (0, set())
    assert (tmp_path / "usb" / "model.safetensors").read_bytes() == WEIGHTS
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert data(capsys, "org/plain", "--to", str(tmp_path / "other"))["fetched_bytes"] == 0
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == WEIGHTS


def test_gguf_files_in_a_plain_folder_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    to = tmp_path / "usb"
    assert data(capsys, "org/tiny-GGUF", "--to", str(to))["command"] == f"llmserve up {to}"
    second = data(capsys, "org/tiny-GGUF", "--quant", "Q8_0", "--to", str(to))
    assert second["command"] == f"llmserve up {to / 'x-Q8_0.gguf'}"


def test_a_small_disk_is_refused_before_the_first_byte(
    capsys: pytest.CaptureFixture[str], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 1024**2))
    _, err = run(capsys, "org/plain", code=3)
    assert "are missing" in err
    out, err = run(capsys, "org/plain", "--dry-run", code=3)
    assert "Lacking  63.5 MiB" in out
    assert "HF_HUB_CACHE" in err or "are missing" in err
    assert bodies(hub) == set()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> Terminal:
    """Somebody who types ``answer`` to every question; what the terminal shows of stderr."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(Output, "from_args", lambda _: Output("human", "pull", err=screen))
    monkeypatch.setattr(pull, "ASKED", 1000)
    return screen


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 0), ("\n", 0)])
def test_a_large_download_is_asked_for(
    capsys: pytest.CaptureFixture[str], hub: FakeHub, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    at_a_terminal(monkeypatch, answer)
    _, err = run(capsys, "org/plain", code=code)
    assert "Fetch 0.5 MiB to ~/hf/hub/models--org--plain? [Y/n]" in err
    assert bool(bodies(hub)) is (code == 0)


def test_nobody_is_asked_who_said_yes_or_sits_in_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pull, "ASKED", 1000)
        assert "[Y/n]" not in run(capsys, "org/tiny-GGUF")[1]
    screen = at_a_terminal(monkeypatch, "")
    assert "[Y/n]" not in run(capsys, "org/plain", "-y")[1]
    assert "100%" in screen.getvalue()


def test_events_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "org/plain", "--progress", "json", "--json")
    events = [json.loads(line) for line in err.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("plan", "done")
    assert events[-1]["fetched_bytes"] == events[0]["missing_bytes"]
    progress = [event for event in events if event["event"] == "progress"]
    done = [event["done_bytes"] for event in progress]
    assert done == sorted(done)
    assert done[-1] == progress[-1]["total_bytes"] == events[0]["total_bytes"]


def test_an_interruption_keeps_what_came(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pull, "bring", interrupted)
    _, err = run(capsys, "org/plain", code=130)
    assert "is kept" in err
    assert "Run the same command again" in err


def test_a_cached_model_is_complete_without_the_hub(
    capsys: pytest.CaptureFixture[str], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "org/plain")
    asked = len(hub.requests)
    with monkeypatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        assert data(capsys, "org/plain")["command"] == "llmserve up org/plain"
        assert data(capsys, "org/tiny-GGUF", code=1)["errors"][0]["code"] == "hub_offline"
    monkeypatch.delitem(hub.repos, "org/plain")
    out, err = run(capsys, "org/plain")
    assert "nothing had to be fetched" in out
    assert "All of it is in the cache." in err
    assert len(hub.requests) > asked


def test_the_built_in_model_is_made(capsys: pytest.CaptureFixture[str], hub: FakeHub, tmp_path: Path) -> None:
    out, _ = run(capsys, "tiny", "--format", "gguf", "-q")
    assert Path(out.strip()).is_file()
    run(capsys, "tiny", "--to", str(tmp_path / "usb"), code=2)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("org/plain", "--format", "onnx"), "no format 'onnx'"),
        (("org/plain", "--progress", "xml"), "no progress 'xml'"),
        (("org/plain", "--format", "safetensors", "--quant", "Q8_0"), "chooses a GGUF file"),
        (("org/both:Q8_0", "--quant", "Q4_K_M"), "already which file"),
        (("./", "--quant", "Q4_K_M"), "already which file"),
        (("org/plain", "--format", "gguf"), "has no GGUF files"),
        (("org/plain", "--include", "*.nothing"), "Nothing of org/plain"),
        (("kimi-k2-thinking", "--format", "gguf"), "does not exist as gguf"),
        (("org/nobody",), "org/nobody"),
        (("org/plain", "--revision", "gone"), "no revision 'gone'"),
        (("no-such-name",), "no model called"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], says: str
) -> None:
    _, err = run(capsys, *args, code=2)
    assert says in err
    assert "Traceback" not in err
