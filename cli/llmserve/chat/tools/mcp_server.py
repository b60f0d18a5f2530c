"""The tools of an MCP server that runs as a child of this process, through the protocol's official library."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from llmserve.chat.tools.source import definition
from llmserve.errors import LlmserveError, UsageError

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["McpServer"]

_START = 60.0  # seconds: many such servers are fetched by npx or uvx when they are first started
_CALL = 300.0


class McpServer:
    """``command`` is a line as for a shell, run without one. The server ends with :meth:`close`."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._stack = ExitStack()
        try:
            self._portal, self._client = self._started()
            self.definitions: Sequence[dict[str, Any]] = self._portal.call(self._listed)
        except BaseException:
            self._stack.close()
            raise

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        from functools import partial

        result = self._portal.call(partial(self._client.call_tool, name, arguments, read_timeout_seconds=_CALL))
        texts = [getattr(part, "text", None) or f"[{part.type}]" for part in getattr(result, "content", ())]
        text = "\n".join(texts)
        return f"Error: {text}" if getattr(result, "is_error", False) else text

    def close(self) -> None:
        self._stack.close()

    def _started(self) -> tuple[Any, Client]:
        try:
            from anyio.from_thread import start_blocking_portal
            from mcp import Client, StdioServerParameters
            from mcp.client.stdio import stdio_client
        except ImportError as error:
            raise UsageError("MCP servers need the package mcp.", hint="pip install 'llmserve[mcp]'") from error
        try:
            words = shlex.split(self._command)
        except ValueError as error:
            raise UsageError(f"{self._command!r} is no command: {error}.", hint="Mind the quotes.") from error
        if not words:
            raise UsageError("The command of the MCP server is empty.", hint='--mcp "uvx mcp-server-time"')
        portal = self._stack.enter_context(start_blocking_portal())
        transport = stdio_client(StdioServerParameters(command=words[0], args=words[1:]), errlog=_null(self._stack))
        client = Client(transport, read_timeout_seconds=_START)
        try:
            started: AbstractContextManager[Client] = portal.wrap_async_context_manager(client)
            return portal, self._stack.enter_context(started)
        except Exception as error:
            raise LlmserveError(
                f"The MCP server {words[0]!r} did not start: {_innermost(error)}.",
                hint=f"Try it in a shell: {self._command}", code="mcp",
            ) from error  # fmt: skip

    async def _listed(self) -> list[dict[str, Any]]:
        listed = await self._client.list_tools()
        return [definition(tool.name, tool.description or "", dict(tool.input_schema)) for tool in listed.tools]


def _null(stack: ExitStack) -> Any:
    """A server's log would be drawn into the conversation."""
    import os
    from pathlib import Path

    return stack.enter_context(Path(os.devnull).open("w"))


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error).rstrip(".") or type(error).__name__
