"""A thin client of an OpenAI-compatible API: few routes, typed answers, every failure a sentence, no retries."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from llmserve import __version__
from llmserve.endpoint import stream, wire  # what only a failure needs is imported by the failure
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.pace import paced
from llmserve.endpoint.types import ChatRequest, Completion, ServedModel, StreamEvent
from llmserve.endpoint.url import is_loopback
from llmserve.errors import LlmserveError, UsageError

if TYPE_CHECKING:
    import httpx2

__all__ = ["Client"]

LOOKUP_TIMEOUT = 30.0
MAX_BODY = 64 * 1024**2
MAX_ERROR_BODY = 16 * 1024


class Client:
    """One endpoint, connections kept; a context manager.

    Every method raises an LlmserveError whose ``code`` is listed in :mod:`llmserve.endpoint.refusals`,
    :mod:`llmserve.endpoint.unreachable` and :mod:`llmserve.endpoint.stream`, or ``not_json``.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http = _http(endpoint)
        self._elsewhere = _other_bases(endpoint.base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def models(self) -> list[ServedModel]:
        """What ``/models`` lists, in its order."""
        with self._send("GET", "/models") as response:
            served = wire.models(self._json(response))
        if served is None:
            raise self._not_json("JSON that is no list of models")
        return served

    def chat(self, request: ChatRequest) -> Completion:
        """One whole answer."""
        answer = wire.completion(self.complete(request.body(stream=False)))
        assert answer is not None  # complete looked
        return answer

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to a body that is sent as it stands, as the server's own JSON."""
        with self._send("POST", "/chat/completions", body, str(body.get("model", ""))) as response:
            data = self._json(response)
        if isinstance(data, dict) and wire.completion(data):
            return data
        if isinstance(data, dict) and (data.get("error") or data.get("object") == "error" or "detail" in data):
            raise stream.refused(self.endpoint, data, str(body.get("model", "")))
        raise self._not_json("JSON that is no chat completion")

    def chat_stream(
        self,
        request: ChatRequest,
        *,
        idle: Callable[[], None] = lambda: None,
        tap: Callable[[bytes], None] = lambda _: None,
    ) -> Generator[StreamEvent]:
        """The answer as it comes, closed by one StreamEnd. Closing the iterator closes the connection.

        ``idle`` is called before each wait for more, ``tap`` with the bytes of the body as they arrive.
        """
        sent = self._send("POST", "/chat/completions", request.body(stream=True), request.model)
        with sent as response, paced(response, idle):
            yield from stream.read(_until_cut(response, tap), self.endpoint, model=request.model)

    def text(self, url: str) -> str:
        """What ``url``, a page beside the API, answers to GET."""
        with self._send("GET", "", at=url) as response:
            return _head(response, MAX_BODY).decode("utf-8", "replace")

    @contextlib.contextmanager
    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, model: str = "", *, at: str = ""
    ) -> Iterator[httpx2.Response]:
        """The answer of ``path`` under the base URL, or of the address ``at``."""
        import httpx2

        content = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json"} if body else {}
        endpoint = self.endpoint if body else _impatient(self.endpoint)
        timeout = _timeout(endpoint)
        try:
            with contextlib.ExitStack() as stack:

                def send(base: str) -> httpx2.Response:
                    request = self._http.stream(method, base + path, content=content, headers=headers, timeout=timeout)
                    return stack.enter_context(request)

                response = send(at or endpoint.base_url)
                if response.status_code >= 300:
                    fault = self._refused(response, path, model)
                    found = self._moved(send) if fault.code == "not_found" and not at else None
                    if found is None:
                        raise fault
                    response = found
                self._elsewhere = self._elsewhere if at else ()
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            from llmserve.endpoint import unreachable

            raise unreachable.explain(endpoint, error) from error

    def _moved(self, send: Callable[[str], httpx2.Response]) -> httpx2.Response | None:
        """The answer from the address that was meant: people leave out the ``/v1``, or write one that is not there."""
        bases, self._elsewhere = self._elsewhere, ()
        for base in bases:
            response = send(base)
            if response.status_code < 300:
                self.endpoint = replace(self.endpoint, base_url=base)
                return response
        return None

    def _refused(self, response: httpx2.Response, path: str, model: str) -> LlmserveError:
        from llmserve.endpoint import refusals
        from llmserve.endpoint.error_body import parse

        refusal = refusals.Refusal(
            endpoint=self.endpoint,
            error=parse(_head(response, MAX_ERROR_BODY)),
            status=response.status_code,
            path=path,
            model=model,
            location=response.headers.get("location", ""),
            retry_after=_seconds(response.headers.get("retry-after")),
            served=self._served,
        )
        return refusals.explain(refusal)

    def _served(self) -> list[str]:
        try:
            return [model.id for model in self.models()]
        except LlmserveError:
            return []

    def _json(self, response: httpx2.Response) -> Any:
        body = _head(response, MAX_BODY)
        try:
            return wire.load(body.decode("utf-8", "replace"))
        except ValueError as error:
            from llmserve.endpoint.error_body import parse

            said = parse(body[:MAX_ERROR_BODY]).message[:120]
            raise self._not_json(f"{said!r}, which is not JSON" if said else "nothing") from error

    def _not_json(self, what: str) -> LlmserveError:
        return LlmserveError(
            f"{self.endpoint.base_url} answered with {what}.",
            hint="Is this the base URL of an OpenAI-compatible API?", code="not_json",
        )  # fmt: skip


def _http(endpoint: Endpoint) -> httpx2.Client:
    import ssl

    import httpx2

    try:
        # Loading the certificate authorities takes 80 ms. For plain http an empty context does: no redirect is
        # followed, and should TLS be met all the same, nothing would be trusted.
        secure = endpoint.base_url.startswith("https://")
        trusted = httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.Client(
            headers={
                "User-Agent": f"llmserve/{__version__}",
                "Accept": "application/json",
                **_bearer(endpoint.api_key),
            }
            | dict(endpoint.headers),
            trust_env=not is_loopback(endpoint.base_url),
            verify=trusted,
        )
    except OSError as error:
        hint = "Check SSL_CERT_FILE and SSL_CERT_DIR."
        raise UsageError(f"The certificate authorities cannot be read: {error.strerror}.", hint=hint) from error
    except (ImportError, ValueError) as error:
        raise UsageError(f"The proxy of the environment cannot be used: {error}", hint="Check ALL_PROXY.") from error


def _other_bases(base: str) -> tuple[str, ...]:
    """Where the API may be if it is not at ``base``."""
    if base.endswith("/v1"):
        return (base.removesuffix("/v1"),)
    return () if re.search(r"/v\d+\w*$", base) else (f"{base}/v1",)


def _impatient(endpoint: Endpoint) -> Endpoint:
    """For questions that need no computation: an answer to them comes at once or not at all."""
    return replace(endpoint, read_timeout=min(endpoint.read_timeout, LOOKUP_TIMEOUT))


def _timeout(endpoint: Endpoint) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(endpoint.read_timeout, connect=endpoint.connect_timeout)


def _bearer(key: str | None) -> dict[str, str]:
    key = (key or "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("The API key holds characters that no key has.", hint="Check OPENAI_API_KEY or --api-key.")
    return {"Authorization": f"Bearer {key}"}


def _until_cut(response: httpx2.Response, tap: Callable[[bytes], None]) -> Iterator[bytes]:
    """The answer's bytes up to where they stop; the reader of the stream knows whether that was its end."""
    import httpx2

    with contextlib.suppress(httpx2.RemoteProtocolError, httpx2.ReadError):
        for piece in response.iter_bytes():
            tap(piece)
            yield piece


def _head(response: httpx2.Response, limit: int) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds; the header holds a number of them, or a date."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, round(parsedate_to_datetime(retry_after).timestamp() - time.time()))
    except (ValueError, OverflowError):
        return None
