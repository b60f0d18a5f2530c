"""One small GET without the HTTP client, whose import takes 100 ms; whatever is odd is left to it to explain."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from llmserve.bench.connection import Target, resolve
from llmserve.bench.http import MalformedError, body_of, parse_head, request
from llmserve.bench.payload import Form
from llmserve.endpoint import wire
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.types import ServedModel
from llmserve.errors import LlmserveError

__all__ = ["first_model", "has_metrics", "reach"]


def reach(endpoint: Endpoint) -> Target:
    """The address to connect to; one connection was made to see that something listens.

    Raises:
        LlmserveError: the sentence of :mod:`llmserve.endpoint.unreachable`.
    """
    parts = urlsplit(endpoint.base_url)
    tls = parts.scheme == "https"
    try:
        port = parts.port or (443 if tls else 80)
        return resolve(parts.hostname or "", port, tls=tls, connect_timeout=endpoint.connect_timeout)
    except OSError as error:
        raise _explained(endpoint, error) from error


def first_model(endpoint: Endpoint, target: Target) -> str:
    """The first that ``/models`` lists.

    Raises:
        LlmserveError: it lists none, or cannot be asked.
    """
    models = _quickly(endpoint, target)
    if models is None:
        from llmserve.endpoint.client import Client

        with Client(endpoint) as client:
            models = client.models()
    if not models:
        hint = "Name one with --model."
        raise LlmserveError(f"{endpoint.base_url} lists no model.", hint=hint, code="no_model")
    return models[0].id


def has_metrics(endpoint: Endpoint, target: Target) -> bool:
    """Whether there is a page of metrics beside the API."""
    from llmserve.endpoint.metrics import candidates

    return any(_get(endpoint, target, url, "") is not None for url in candidates(endpoint.base_url))


def _quickly(endpoint: Endpoint, target: Target) -> list[ServedModel] | None:
    body = _get(endpoint, target, endpoint.base_url, "/models")
    try:
        return None if body is None else wire.models(wire.load(body))
    except ValueError:
        return None


def _get(endpoint: Endpoint, target: Target, base_url: str, path: str) -> bytes | None:
    form = Form(base_url=endpoint.base_url, api="chat", model="", api_key=endpoint.api_key,
                more_headers=endpoint.headers)  # fmt: skip
    asked = request(base_url, path, None, {**form.headers(), "Connection": "close"})
    try:
        with socket.socket(target.family, socket.SOCK_STREAM) as plain:
            plain.settimeout(endpoint.connect_timeout)
            plain.connect(target.address)
            with target.tls.wrap_socket(plain, server_hostname=target.host) if target.tls else plain as sock:
                sock.sendall(asked)
                return _body(sock)
    except (OSError, ValueError):
        return None


def _body(sock: socket.socket | ssl.SSLSocket) -> bytes:
    """The body of a good answer.

    Raises:
        ValueError: it is none.
    """
    raw = b""
    while b"\r\n\r\n" not in raw and (piece := sock.recv(65536)):
        raw += piece
    head, _, rest = raw.partition(b"\r\n\r\n")
    found = parse_head(head)
    if found.status != 200:
        raise MalformedError("not 200")
    body = body_of(found)
    content = body.feed(rest)
    while not body.done and len(content) < 2**24 and (piece := sock.recv(65536)):
        content += body.feed(piece)
    return content


def _explained(endpoint: Endpoint, error: OSError) -> LlmserveError:
    import httpx2

    from llmserve.endpoint import unreachable

    wrapped = httpx2.ConnectTimeout("") if isinstance(error, TimeoutError) else httpx2.ConnectError("")
    wrapped.__cause__ = error
    return unreachable.explain(endpoint, wrapped)
