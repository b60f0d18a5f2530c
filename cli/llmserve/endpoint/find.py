"""Which endpoint the user means: flags, a profile, the environment, a server that runs here, or a usual port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.url import is_loopback, normalise
from llmserve.errors import LlmserveError, NeedsAccessError, NotReadyError, UsageError

if TYPE_CHECKING:
    from llmserve.endpoint.usual_ports import Listener

__all__ = ["LocalServer", "find"]


class LocalServer(Protocol):
    """What is asked of a running server's record; who keeps such records is not known here."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def key_file(self) -> str | None: ...


def find(
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    *,
    server: str | None = None,
    profile: str | None = None,
    headers: Iterable[str] = (),
    running: Callable[[], Sequence[LocalServer]] = tuple,
    listening: Callable[[], Sequence[Listener]] = tuple,
    environ: Mapping[str, str] = os.environ,
) -> Endpoint:
    """The endpoint for these wishes. ``headers`` are ``Name: value`` lines, added to those of the profile.

    ``running`` lists local servers, the newest first, ``listening`` who answers at the usual ports; each is called only
    if it is needed.

    Raises:
        UsageError: nothing was named and nothing runs, a name is unknown, or an address or a header is nonsense.
        NotReadyError: the chosen server does not answer yet.
        NeedsAccessError: its key file cannot be read.
    """
    named = [flag for flag, value in (("--base-url", base_url), ("--server", server), ("--profile", profile)) if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} name {_number(len(named))} endpoints.", hint="Give one of them.")
    address = base_url or (None if named else environ.get("OPENAI_BASE_URL"))
    if address:
        endpoint = _remote(address, api_key, environ, running)
    else:
        endpoint = _profile(profile, environ) if profile else _here(server, running, listening)
        endpoint = replace(endpoint, api_key=api_key, key_origin="--api-key") if api_key else endpoint
    if headers:
        from llmserve.endpoint.headers import headers as parsed

        endpoint = replace(endpoint, headers=(*endpoint.headers, *parsed(headers, environ)))
    return replace(endpoint, model=model) if model else endpoint


def _number(count: int) -> str:
    return {2: "two", 3: "three"}[count]


def _profile(name: str, environ: Mapping[str, str]) -> Endpoint:
    from llmserve.endpoint.profiles import load

    return load(name, environ)


def _here(
    server: str | None, running: Callable[[], Sequence[LocalServer]], listening: Callable[[], Sequence[Listener]]
) -> Endpoint:
    """On this machine: a server of llmserve's, else what answers at a usual port."""
    servers = running()
    if servers or server:
        return _local(servers, server)
    return _listening(listening())


def _listening(found: Sequence[Listener]) -> Endpoint:
    if not found:
        raise _nothing((), None)
    chosen = next((each for each in found if each.models), found[0])
    others = ", ".join(each.url for each in found if each is not chosen)
    note = f"Using {chosen.url}, which answers at the usual port of {chosen.usual}."
    return Endpoint(
        base_url=chosen.url, notes=(f"{note} Others: {others}; choose with --base-url." if others else note,)
    )


def _remote(
    address: str, flag: str | None, environ: Mapping[str, str], running: Callable[[], Sequence[LocalServer]]
) -> Endpoint:
    url = normalise(address)
    variable = environ.get("OPENAI_API_KEY")
    if flag:
        return Endpoint(base_url=url, api_key=flag, key_origin="--api-key")
    if variable:
        return Endpoint(base_url=url, api_key=variable, key_origin="OPENAI_API_KEY")
    if is_loopback(url):  # our own server may be meant, whose key the user never saw
        ours = next((each for each in running() if each.url == url and each.key_file), None)
        return replace(_of(ours), model=None) if ours else Endpoint(base_url=url)
    return Endpoint(base_url=url)


def _local(servers: Sequence[LocalServer], name: str | None) -> Endpoint:
    """The named server, or the newest that is ready. OPENAI_API_KEY is not for it: that is the key of another place."""
    if name:
        chosen = next((each for each in servers if each.name == name), None)
    else:
        chosen = next((each for each in servers if each.state == "ready"), servers[0] if servers else None)
    if chosen is None:
        raise _nothing(servers, name)
    if chosen.state != "ready":
        raise NotReadyError(
            f"The server {chosen.name} is {chosen.state}, not ready.",
            hint=f"Watch it with `llmserve logs {chosen.name}`.",
        )
    endpoint = _of(chosen)
    if name or len(servers) == 1:
        return endpoint
    others = ", ".join(each.name for each in servers if each is not chosen)
    note = f"Using the server {chosen.name}, the newest that is ready. Others: {others}; choose with --server NAME."
    return replace(endpoint, notes=(note,))


def _of(server: LocalServer) -> Endpoint:
    key = _read_key(server) if server.key_file else None
    origin = f"the key file of the server {server.name}" if key else ""
    return Endpoint(base_url=normalise(server.url), api_key=key, model=server.model or None, key_origin=origin)


def _read_key(server: LocalServer) -> str:
    try:
        return Path(server.key_file or "").read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise NeedsAccessError(
            f"The key of the server {server.name} cannot be read.", hint="Give it with --api-key or OPENAI_API_KEY."
        ) from error


def _nothing(servers: Sequence[LocalServer], name: str | None) -> LlmserveError:
    if not servers:
        what = (
            f"There is no server called {name!r}."
            if name
            else ("No endpoint is named, no server is running here, and nothing answers at the usual ports.")
        )
        hint = "Start one with `llmserve up`, or name one with --base-url URL, OPENAI_BASE_URL or --profile NAME."
        return UsageError(what, hint=hint, code="no_endpoint")
    names = ", ".join(each.name for each in servers)
    return UsageError(f"There is no server called {name!r}.", hint=f"Running here: {names}.", code="unknown_server")
