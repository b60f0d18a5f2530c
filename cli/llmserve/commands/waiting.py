"""Watching a start until the server is ready, shown as steps."""

from __future__ import annotations

from typing import Any

from llmserve import serve
from llmserve.engine import systemd
from llmserve.engine.launch import Running
from llmserve.engine.server import Server
from llmserve.errors import InterruptedByUser
from llmserve.output.steps import Steps
from llmserve.output.text import duration
from llmserve.records import from_json

_EXTENSION = 120_000_000
"""Microseconds that a service manager is asked to wait on, each time something is heard of a start."""


def until_ready(running: Running, shown: Steps) -> Server:
    """What the keeper tells, until the server is ready; raises what it failed of."""
    for event in running.events():
        systemd.notify(f"EXTEND_TIMEOUT_USEC={_EXTENSION}")  # the keeper knows when a start is in vain
        if event["event"] in ("progress", "activity"):
            serve.report(shown, event)
        elif event["event"] == "eased":
            shown.update("start", detail=eased(event["eased"]))
        elif event["event"] == "ready":
            shown.finish("ready")
            return from_json(Server, event["server"])
    raise InterruptedByUser(f"{running.server.name} was stopped before it was ready.")


def eased(change: dict[str, Any]) -> str:
    """``trying again with --ctx-size 4096 instead of 8192: …``."""
    instead = f" instead of {change['before']}" if change["before"] is not None else ""
    return f"trying again with {change['flag']} {change['after']}{instead}: {change['because']}"


def restarting(event: dict[str, Any], name: str) -> str:
    """What to say of an engine that ended and is begun again."""
    return f"{event['failure']['message']} Starting {name} again in {duration(event['pause'])}."
