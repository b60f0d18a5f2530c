"""The templates: each is whole, refers to the key without showing it, and is sound in its own language."""

from __future__ import annotations

import ast
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from llmserve.connect.clients import Client, Place, client, clients
from llmserve.connect.key_reference import KeyReference
from llmserve.errors import UsageError

KEYS = {
    "file": KeyReference(kind="file", name="/home/me/a b/api-key"),
    "variable": KeyReference(kind="variable", name="OPENAI_API_KEY"),
    "none": KeyReference(kind="none"),
    "shown": KeyReference(kind="file", name="/k", shown="sk-shown-1"),
}
ODD = "org/na\"me $(touch evil) 'x' \\ \x1b[2J"
ALL = clients()


def place(key: KeyReference = KEYS["none"], model: str = "org/model") -> Place:
    return Place(base_url="http://127.0.0.1:30000/v1", model=model, key=key)


def texts(one: Client, where: Place) -> str:
    return f"{where.fill(one.text)}\n{where.fill(one.after)}"


def test_the_clients_that_were_promised() -> None:
    assert {one.name for one in ALL} == {
        "shell", "openai-python", "openai-node", "curl", "langchain", "llamaindex", "litellm", "llm", "aider",
        "continue", "open-webui",
    }  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_every_text_names_the_endpoint_and_where_its_key_is(one: Client, key: str) -> None:
    text = texts(one, place(KEYS[key]))
    assert "http://127.0.0.1:30000/v1" in text
    assert "@" not in text.replace("-H @-", "")
    wanted = {"file": "/home/me/a b/api-key", "variable": "OPENAI_API_KEY", "none": "EMPTY", "shown": "sk-shown-1"}
    assert wanted[key] in text
    assert one.name in ("shell", "open-webui") or "org/model" in text


PYTHON = [one for one in ALL if "import" in one.text and one.name != "openai-node"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("one", PYTHON, ids=lambda one: one.name)
def test_python_parses_and_imports_only_what_it_uses(one: Client, key: str) -> None:
    text = place(KEYS[key], ODD).fill(one.text)
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert ("import os" in text) == ("os" in names) == (key == "variable")
    assert ("import Path" in text) == ("Path" in names) == (key == "file")
    assert "\x1b" not in text


SHELL = [one for one in ALL if "shell" in one.where]


@pytest.mark.parametrize("one", SHELL, ids=lambda one: one.name)
def test_what_a_server_calls_its_model_runs_no_command(one: Client, tmp_path: Path) -> None:
    """The commands themselves are missing here, so that only what the shell expands would run."""
    text = place(KEYS["none"], ODD).fill(one.text)
    subprocess.run(
        [shutil.which("sh") or "sh", "-c", text], cwd=tmp_path, env={"PATH": ""}, capture_output=True, check=False
    )
    assert list(tmp_path.iterdir()) == []
    assert shlex.split(text.replace("\n", " "))


def test_an_unknown_client_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        client("openai-pyton")
    assert "Did you mean openai-python?" in str(caught.value.hint)
