"""Routes, keys, headers: from a request to an answer, exactly as OpenAI's."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from tests.fakes.openai import chat, completions, embeddings
from tests.fakes.openai.answer import Answer, Json, RefusalError, Request
from tests.fakes.openai.responses import Responses
from tests.fakes.openai.settings import Settings

__all__ = ["App"]

_MOST_BYTES = 4 * 1024**2
_METHODS = {
    "models": "GET", "chat/completions": "POST", "completions": "POST", "embeddings": "POST", "responses": "POST",
    "responses/input_tokens": "POST",
}  # fmt: skip
_CREATED = 1_750_000_000


class App:
    """Answers requests; knows nothing of sockets."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.responses = Responses()

    def answer(self, request: Request) -> Answer:
        try:
            found = self._preflight(request) if request.method == "OPTIONS" else self._route(request)
        except RefusalError as refusal:
            found = Answer(status=refusal.status, body=refusal.body, headers=refusal.headers)
        except Exception as error:  # a bug of this fake must be seen by the test, not hang it
            found = Answer(status=500, body={"error": {
                "message": f"{type(error).__name__}: {error}", "type": "server_error", "param": None, "code": None,
            }})  # fmt: skip
        return replace(found, headers={**self._headers(request), **found.headers})

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {
            "x-request-id": f"req_{request.number:032x}", "openai-processing-ms": "3", "openai-version": "2020-10-01",
            "openai-organization": "org-fake", "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999", "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "2000000", "x-ratelimit-remaining-tokens": "1999984",
            "x-ratelimit-reset-tokens": "0s",
        }  # fmt: skip
        if "origin" in request.headers:
            headers |= {"access-control-allow-origin": "*", "access-control-expose-headers": "X-Request-ID"}
        return headers

    def _preflight(self, request: Request) -> Answer:
        wanted = request.headers.get("access-control-request-headers", "*")
        return Answer(status=204, raw=b"", headers={
            "access-control-allow-origin": "*", "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
            "access-control-allow-headers": wanted, "access-control-max-age": "600",
        })  # fmt: skip

    def _route(self, request: Request) -> Answer:
        self._authorize(request)
        route = request.route
        if not request.path.startswith("/v1/"):
            raise RefusalError(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
        if route in _METHODS:
            return self._known(request, route)
        if route.startswith("models/"):
            self._allow(request, "GET")
            return Answer(body=self._model(unquote(route.removeprefix("models/"))))
        if route.startswith("responses/"):
            return self._response(request, route.split("/")[1:])
        raise RefusalError(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")

    def _known(self, request: Request, route: str) -> Answer:
        self._allow(request, _METHODS[route])
        if route == "models":
            return Answer(body={"object": "list", "data": [self._model(name) for name in self.settings.models]})
        self._check_body(request)
        if route == "responses":
            return self.responses.create(request, self.settings)
        if route == "responses/input_tokens":
            return self.responses.count(request, self.settings)
        rooms = {"chat/completions": chat.answer, "completions": completions.answer, "embeddings": embeddings.answer}
        return rooms[route](request, self.settings)

    def _response(self, request: Request, words: list[str]) -> Answer:
        if len(words) == 1:
            self._allow(request, "GET, DELETE")
            return self.responses.one(request, words[0])
        if words[1:] == ["input_items"]:
            self._allow(request, "GET")
            return self.responses.inputs(words[0])
        raise RefusalError(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")

    def _model(self, name: str) -> Json:
        if name not in self.settings.models:
            raise RefusalError(404, f"The model '{name}' does not exist", code="model_not_found", param="model")
        return {"id": name, "object": "model", "created": _CREATED, "owned_by": "fake"}

    def _allow(self, request: Request, methods: str) -> None:
        allowed = methods.split(", ")
        if request.method not in allowed and not (request.method == "HEAD" and "GET" in allowed):
            message = f"Not allowed to {request.method} on {request.path}."
            raise RefusalError(405, message, code="method_not_allowed", allow=methods)

    def _authorize(self, request: Request) -> None:
        if self.settings.key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").strip().partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            message = "You didn't provide an API key. You need to provide it in an Authorization header."
            raise RefusalError(401, message, code="invalid_api_key")
        if given != self.settings.key:
            shown = f"{given[:3]}***{given[-2:]}" if len(given) > 12 else "***"
            raise RefusalError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")

    def _check_body(self, request: Request) -> None:
        media = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if len(request.body) > _MOST_BYTES:
            raise RefusalError(413, "The request body is too large.", code="request_too_large")
        if media != "application/json":
            raise RefusalError(415, f"Unsupported content type: '{media}'. Use 'application/json'.")
        if not request.json:
            raise RefusalError(400, "We could not parse the JSON body of your request.")
