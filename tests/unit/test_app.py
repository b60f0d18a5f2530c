"""The command table: every verb loads, explains itself with examples, and none is imported before it is chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmserve.app import COMMANDS, load, run

TREE = Path(__file__).parents[2]


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(name in out and entry.help in " ".join(out.split()) for name, entry in COMMANDS.items())
    assert "130 interrupted" in " ".join(out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert name == "engine" or f"  llmserve {name}" in out
    assert load(name).name == name


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["uup"], "Did you mean 'up'?"),
        (["ps", "--alll"], "--all"),
        (["up", "--port", "http"], "--port"),
        (["up", "--port", "70000"], "70000"),
        (["up", "a", "b"], "b"),
        (["up", "--engine", "vllm"], "vllm"),
        (["up", "--machine", "h100"], "--dry-run"),
    ],
)
def test_a_wrong_command_line_is_a_sentence_and_exit_2(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.startswith("error: ")
    assert shown.out == ""


def test_a_wrong_command_line_is_an_envelope_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ps", "--nope", "--json"]) == 2
    body = json.loads(capsys.readouterr().out)
    assert (body["status"], body["exit_code"], body["errors"][0]["code"]) == ("error", 2, "usage")


@pytest.mark.parametrize("args", [["--help"], ["ps", "--help"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    heavy = ["torch", "sglang", "huggingface_hub", "pydantic", "rich", "psutil", "prompt_toolkit", "httpx2"]
    script = f"import sys; from llmserve.app import run; run({args}); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_answered_without_typer() -> None:
    script = (
        "import sys; sys.argv = ['llmserve', '--version']; from llmserve.__main__ import main; main(); "
        "print('typer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [done.stdout.splitlines()[0], "False"]


def test_a_defaults_file_stands_between_environment_and_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llmserve.toml").write_text('[up]\nengine = "nonsense"\n')
    assert run(["up"]) == 2
    assert "nonsense" in capsys.readouterr().err
    monkeypatch.setenv("LLMSERVE_ENGINE", "other")
    assert run(["up"]) == 2
    assert "other" in capsys.readouterr().err
    (tmp_path / "llmserve.toml").write_text("[up\n")
    assert run(["up"]) == 2
    assert "not valid TOML" in capsys.readouterr().err


def test_every_option_has_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMSERVE_UP_CONTEXT", "1024")
    assert run(["up", "tiny", "--engine", "llamacpp", "--dry-run", "-q"]) == 0
    assert "--ctx-size 4096" in capsys.readouterr().out
    assert run(["up", "--help"]) == 0
    assert "LLMSERVE_UP" not in capsys.readouterr().out


@pytest.mark.parametrize(("key", "says"), [("contxt", "'context'"), ("json", "no such option")])
def test_a_misspelt_default_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llmserve.toml").write_text(f"[up]\n{key} = 1\n")
    assert run(["up", "tiny", "--dry-run"]) == 2
    assert says in capsys.readouterr().err


def test_the_readme_names_every_command() -> None:
    readme = (TREE / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`llmserve {name}" not in readme] == []
