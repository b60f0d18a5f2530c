"""Tools: the functions of a Python file, and the user's say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llmserve.chat.answer import ToolCall
from llmserve.chat.tools.toolbox import Toolbox
from llmserve.errors import UsageError

FUNCTIONS = """
from __future__ import annotations
from typing import Literal
import os.path as not_mine
def add(a: int, b: float = 1, *, kind: Literal["x", "y"] = "x", names: list[str] | None = None) -> float:
    '''Add two numbers.

    Slowly.'''
    return a + b
def fails(text: str): raise ValueError("no " + text)
def nothing(): return {"a": [1, None]}
def _private(): pass
LIMIT = 3
"""


class Box:
    """A toolbox, and what was asked and said."""

    def __init__(self, *, willing: bool = True) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        self.box = Toolbox(lambda line: self.asked.append(line) or willing, self.said.append)  # type: ignore[func-returns-value]

    def call(self, name: str, arguments: object) -> str:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return self.box.call(ToolCall(id="1", name=name, arguments=text))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(FUNCTIONS)
    return str(path)


def test_functions_are_described(file: str) -> None:
    box = Box().box
    assert box.add(file) == ["add", "fails", "nothing"]
    add = box.definitions[0]["function"]
    assert add["description"] == "Add two numbers.\n\nSlowly."
    assert add["parameters"] == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "number"},
            "kind": {"enum": ["x", "y"]},
            "names": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_functions_are_called_and_their_errors_told(file: str) -> None:
    box = Box()
    box.box.add(file)
    assert box.call("add", {"a": 1, "b": 2}) == "3"
    assert box.call("nothing", "") == '{"a": [1, null]}'
    assert box.call("fails", {"text": "x"}) == "Error: ValueError: no x"
    assert box.call("add", {"c": 1}).startswith("Error: TypeError")
    assert box.asked[0] == "add(a=1, b=2)"


def test_nothing_is_run_against_the_users_will(file: str) -> None:
    box = Box(willing=False)
    box.box.add(file)
    assert box.call("add", {"a": 1}) == "Error: the user does not want this call."
    assert box.said == ["Not run."]


@pytest.mark.parametrize("arguments", ["[1]", "{", "3", "[" * 100_000])
def test_arguments_that_are_no_object_are_not_asked_for(file: str, arguments: str) -> None:
    box = Box()
    box.box.add(file)
    assert box.call("add", arguments) == "Error: the arguments are not a JSON object."
    assert box.call("nope", "{}") == "Error: there is no tool called nope."
    assert box.asked == []


def test_long_results_are_cut(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("def log(): return 'x' * 1_000_000")
    box = Box()
    box.box.add(str(tmp_path / "long.py"))
    assert box.call("log", "{}").endswith("[cut: 1000000 characters in all]")


def test_files_that_offer_nothing(tmp_path: Path, file: str) -> None:
    box = Box().box
    for name, text, says in (("a.py", "X = 1", "no public function"), ("b.py", "1/0", "ZeroDivisionError"),
                             ("c.py", "def (", "SyntaxError")):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=says):
            box.add(str(tmp_path / name))
    box.add(file)
    with pytest.raises(UsageError, match="a tool called add already"):
        box.add(file)


def test_without_the_package_a_sentence_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UsageError) as caught:
        Box().box.add("server")
    assert caught.value.hint == "pip install 'llmserve[mcp]'"
