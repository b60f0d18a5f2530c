"""The options by which every client command (chat, probe, bench …) is told which endpoint is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llmserve.endpoint.endpoint import Endpoint
    from llmserve.endpoint.find import LocalServer

BaseUrl = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="The API; else OPENAI_BASE_URL.")]
Model = Annotated[str | None, typer.Option(metavar="ID", help="The model; else the first that is served.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", help="The key; better in OPENAI_API_KEY, where ps cannot see it."),
]
Server = Annotated[str | None, typer.Option(metavar="NAME", help="A server of `llmserve ps`; else the newest.")]


def endpoint(base_url: str | None, api_key: str | None, model: str | None, server: str | None) -> Endpoint:
    """The endpoint for these options; :func:`llmserve.endpoint.find.find` says in which order, and what it raises."""
    from llmserve.endpoint.find import find

    return find(base_url, api_key, model, server=server, running=_running)


def _running() -> Sequence[LocalServer]:
    from llmserve.engine.registry import running

    return running()
