"""The options by which every client command (chat, probe, bench …) is told which endpoint is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llmserve.endpoint.endpoint import Endpoint
    from llmserve.endpoint.find import LocalServer
    from llmserve.endpoint.usual_ports import Listener

BaseUrl = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="The API; else OPENAI_BASE_URL.")]
Model = Annotated[str | None, typer.Option(metavar="ID", help="The model; else the first that is served.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", help="The key; better in OPENAI_API_KEY, where ps cannot see it."),
]
Server = Annotated[str | None, typer.Option(metavar="NAME", help="A server of `llmserve ps`; else the newest.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="An endpoint from [profiles.NAME] of the config file.")
]
Header = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="LINE", help="'Name: value', sent with every request; ${VARIABLE} is replaced."),
]


def endpoint(
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    server: str | None,
    *,
    profile: str | None = None,
    header: Sequence[str] | None = None,
) -> Endpoint:
    """The endpoint for these options; :func:`llmserve.endpoint.find.find` says in which order, and what it raises."""
    from llmserve.endpoint.find import find

    names = _typed({"base_url": base_url, "server": server, "profile": profile})
    return find(
        names["base_url"],
        api_key,
        model,
        server=names["server"],
        profile=names["profile"],
        headers=header or (),
        running=_running,
        listening=_listening,
    )


def _typed(names: dict[str, str | None]) -> dict[str, str | None]:
    """Of several ways to name an endpoint, a typed one wins over those that are settings: those are defaults."""
    from typer._click.core import ParameterSource
    from typer._click.globals import get_current_context

    context = get_current_context(silent=True)
    typed = {
        name: value
        for name, value in names.items()
        if value and context and context.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    return dict.fromkeys(names) | typed if typed else names


def _running() -> Sequence[LocalServer]:
    from llmserve.paths import servers_dir

    if not servers_dir().is_dir():  # then the import that takes longest is spared
        return ()
    from llmserve.engine.registry import running

    return running()


def _listening() -> Sequence[Listener]:
    from llmserve.endpoint.usual_ports import listeners

    return listeners()
