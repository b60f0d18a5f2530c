"""``llmserve connect``: what another program needs to use an endpoint."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Model, Profile, Server
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json, Quiet
from llmserve.errors import LlmserveError, UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.connect.clients import Client, Place
    from llmserve.connect.key_reference import KeyReference
    from llmserve.connect.trial import Outcome
    from llmserve.endpoint.endpoint import Endpoint

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve connect                        the clients that are known
  llmserve connect openai-python
  llmserve connect aider --server tiny --test
  eval "$(llmserve connect shell -q)"
"""

_VARIABLE = "OPENAI_API_KEY"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@app.command(epilog=EXAMPLES)
def connect(
    client: Annotated[str | None, typer.Argument(help="The client; omitted: a list of those known.")] = None,
    base_url: BaseUrl = None,
    model: Model = None,
    api_key: ApiKey = None,
    server: Server = None,
    profile: Profile = None,
    test: Annotated[
        bool, typer.Option("--test", help="Run the client, if it is installed, and say what it got.")
    ] = False,
    show_key: Annotated[bool, typer.Option("--show-key", help="Write the key itself, not where it is.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Print what a client needs to use an endpoint. No file of yours is changed, and no key is printed unasked."""
    from llmserve.connect.clients import client as known

    if client is None:
        return _list()
    chosen = known(client)
    endpoint = find_endpoint(base_url, api_key, model, server, profile=profile)
    place, notes = _place(endpoint, show_key=show_key)
    text, after = place.fill(chosen.text), place.fill(chosen.after)
    outcome = _tried(chosen, place, endpoint) if test else None
    return _result(chosen, place, text, after, (*endpoint.notes, *notes), outcome)


def _list() -> Result:
    from llmserve.connect.clients import clients
    from llmserve.output.text import columns

    found = clients()
    data = [{"name": one.name, "title": one.title, "about": one.about, "test": one.test is not None} for one in found]
    text = columns(("CLIENT", "WHAT IT IS"), [(one.name, one.about) for one in found])
    return Result(data={"clients": data}, human=text, quiet="\n".join(one.name for one in found))


def _place(endpoint: Endpoint, *, show_key: bool) -> tuple[Place, list[str]]:
    """What fills the template. The model is asked for only where it was not named."""
    from llmserve.chat.session import choose_model
    from llmserve.connect.clients import Place
    from llmserve.endpoint.client import Client as Api

    with Api(endpoint) as api:
        name, note = choose_model(api, endpoint.model)
        context = _context(api, name)
        url = api.endpoint.base_url  # it may have been found a little beside what was typed
    key = _reference(endpoint)
    notes = [note] if note else []
    if key.kind == "variable" and endpoint.key_origin != key.name:
        notes.append(f"Put the key into {key.name} first; --show-key writes it into the text.")
    if show_key and endpoint.api_key:
        key = replace(key, shown=endpoint.api_key)
        notes.append("The text holds the key: keep it out of histories and repositories.")
    return Place(base_url=url, model=name, key=key, context=context or Place.context), notes


def _context(api: Any, name: str) -> int | None:
    try:
        return next((one.context for one in api.models() if one.id == name), None)
    except LlmserveError:
        return None


def _reference(endpoint: Endpoint) -> KeyReference:
    from llmserve.connect.key_reference import KeyReference
    from llmserve.engine import registry

    if not endpoint.api_key:
        return KeyReference(kind="none")
    if "key file" in endpoint.key_origin:
        ours = next((one for one in registry.running() if one.url == endpoint.base_url and one.key_file), None)
        if ours and ours.key_file:
            return KeyReference(kind="file", name=ours.key_file)
    if "/" in endpoint.key_origin:  # a profile's api_key_file
        return KeyReference(kind="file", name=str(Path(endpoint.key_origin).expanduser()))
    named = _NAME.fullmatch(endpoint.key_origin)  # a profile's api_key_env
    return KeyReference(kind="variable", name=endpoint.key_origin if named else _VARIABLE)


def _tried(client: Client, place: Place, endpoint: Endpoint) -> Outcome:
    """The client's own run, with the key where the text looks for it."""
    from llmserve.connect.trial import try_client

    hidden = replace(place, key=replace(place.key, shown=None))
    return try_client(
        client, hidden.fill(client.text), endpoint, place.key.name if place.key.kind == "variable" else ""
    )


def _result(
    client: Client, place: Place, text: str, after: str, notes: tuple[str, ...], outcome: Outcome | None
) -> Result:
    key = {"from": place.key.kind, "name": place.key.name or None}
    data = {
        "client": client.name, "base_url": place.base_url, "model": place.model, "key": key, "where": client.where,
        "text": text, "then": after or None, "install": client.install or None,
        "test": asdict(outcome) if outcome else None,
    }  # fmt: skip
    parts = [f"# {client.title}: {client.about}", f"# Into {client.where}:", text]
    if after:
        parts += ["", "# Then, in a shell:", after]
    error = None
    if outcome and not outcome.ok:
        error = _failed(client, outcome)
    elif outcome:
        answered = (f"{client.title} got an answer.",) if client.test and client.test.asks else ()
        first, *more = (*answered, *outcome.said.splitlines()[:4]) or ("it ended well.",)
        notes = (*notes, f"Tested: {first}", *more)
    return Result(
        data=data, human="\n".join(parts), quiet="\n".join(filter(None, (text, after))), messages=notes,
        exit_code=error.exit_code if error else 0, error=error,
    )  # fmt: skip


def _failed(client: Client, outcome: Outcome) -> LlmserveError:
    if not outcome.ran:
        return UsageError(outcome.said, hint="Without --test the text is printed alone.", code="client_missing")
    last = (outcome.said.splitlines() or ["it said nothing"])[-1]
    return LlmserveError(
        f"{client.title} got no answer: {last}", hint="`llmserve chat -m hi` shows whether the endpoint answers.",
        code="client_failed", data={"said": outcome.said},
    )  # fmt: skip
