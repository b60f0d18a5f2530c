"""Which servers a command is about: those that were named, every one, or the only one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmserve.engine import registry
from llmserve.engine.server import Server
from llmserve.errors import UsageError


def chosen(
    names: Sequence[str], *, all_servers: bool, among: Callable[[Server], bool], what: str
) -> list[Server]:  # fmt: skip
    """The servers named, every one ``among`` those that count, or the only one of these; none where there is none.

    Raises:
        UsageError: a name is unknown, or there are several and none is named. ``what`` says what they are.
    """
    if names:
        return [registry.get(name) for name in dict.fromkeys(names)]
    found = [server for server in registry.servers() if among(server)]
    if len(found) > 1 and not all_servers:
        known = ", ".join(server.name for server in found)
        raise UsageError(f"Several servers are {what}: {known}.", hint="Name the one you mean, or use --all.")
    return found


def newest(name: str | None) -> Server:
    """The server called ``name``, or the newest one."""
    if name:
        return registry.get(name)
    known = registry.servers()
    if not known:
        raise UsageError("There is no server.", hint="Start one with `llmserve up`.")
    return known[0]
