"""Tools of a real MCP server, a child of this process, through the protocol's official library."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.chat.answer import ToolCall
from llmserve.chat.tools.toolbox import Toolbox
from llmserve.errors import LlmserveError

SERVER = """
from mcp.server import MCPServer
server = MCPServer("test")
@server.tool()
def shout(text: str) -> str:
    '''Make it loud.'''
    return text.upper()
@server.tool()
def breaks() -> str:
    raise ValueError("broken inside")
server.run("stdio")
"""


def call(box: Toolbox, name: str, arguments: dict[str, Any]) -> str:
    return box.call(ToolCall(id="1", name=name, arguments=json.dumps(arguments)))


@pytest.fixture
def mcp(tmp_path: Path) -> Iterator[Toolbox]:
    (tmp_path / "server.py").write_text(SERVER)
    box = Toolbox(lambda _: True, lambda _: None)
    assert box.add(f"{sys.executable} {tmp_path}/server.py") == ["shout", "breaks"]
    yield box
    box.close()


def test_an_mcp_server(mcp: Toolbox) -> None:
    shout = mcp.definitions[0]["function"]
    assert shout["description"] == "Make it loud."
    assert shout["parameters"]["properties"]["text"]["type"] == "string"
    assert call(mcp, "shout", {"text": "hi"}) == "HI"
    assert call(mcp, "breaks", {}).startswith("Error")
    assert call(mcp, "shout", {}).startswith("Error")
    assert call(mcp, "shout", {"text": "still there"}) == "STILL THERE"


@pytest.mark.parametrize(
    ("command", "says"),
    [("/no/such/server", "did not start"), ("false", "did not start"), ("", "is empty"), ('"', "is no command")],
)
def test_servers_that_do_not_start(command: str, says: str) -> None:
    with pytest.raises(LlmserveError, match=says):
        Toolbox(lambda _: True, lambda _: None).add(command)
