"""HTTP itself, keys, errors, the list of models, browsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import Answer, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, body, drop, each, refusals

CHAT = "chat/completions"


def _enveloped(change: Callable[[Json], Any], *statuses: int) -> Any:
    """The object under ``error``."""

    def each(given: Answer) -> Answer:
        inner = dict(given.body["error"])
        made = change(inner)
        return replace(given, body={"error": inner if made is None else made})

    return refusals(each, *statuses)


def _bodied(change: Callable[[Json], Any], *statuses: int) -> Any:
    """The whole body of a refusal, made of its message and status."""
    return refusals(
        lambda given: replace(given, body=change(given.body["error"] | {"status": given.status})), *statuses
    )


def _raw(raw: bytes, kind: str, *statuses: int) -> Any:
    return refusals(lambda given: replace(given, body=None, raw=raw).with_headers(Content_Type=kind), *statuses)


def _status(status: int, *statuses: int) -> Any:
    return refusals(lambda given: replace(given, status=status), *statuses)


def _headers(**values: str | None) -> Any:
    return answering(lambda _, given: given.with_headers(**values))


def _errors_without(name: str) -> Any:
    return refusals(lambda given: given.with_headers(**{name: None}))


def _known_model(request: Request) -> Request:
    return request.having(model="fake-chat") if request.json.get("model") else request


def _preflight(change: Callable[[Request, Answer], Answer]) -> Any:
    return answering(lambda request, given: change(request, given) if request.method == "OPTIONS" else given)


def _unauthorized(request: Request, given: Answer) -> Answer:
    body: Json = {
        "error": {"message": "Missing key.", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    }
    return Answer(status=401, body=body)


def _keyless(*routes: str) -> Any:
    """Any key is as good as the right one, on ``routes`` or everywhere; none is not."""

    def ask(request: Request) -> Request:
        if "authorization" not in request.headers:
            return request
        headers = {**request.headers, "authorization": "Bearer sk-fake-0123456789abcdef"}
        return replace(request, headers=headers)

    return asking(ask, *routes)


def _models(change: Callable[[Json], Any]) -> Any:
    return body(change, "models")


def _each_model(change: Callable[[Json], Any]) -> Any:
    return _models(lambda data: each(data["data"], change))


def _one_model(change: Callable[[Request, Answer], Answer]) -> Any:
    return answering(lambda request, given: change(request, given) if request.route.startswith("models/") else given)


def _lenient_role(request: Request) -> Request:
    messages = request.json.get("messages")
    if not isinstance(messages, list):
        return request
    known = ("system", "developer", "user", "assistant", "tool", "function")
    return request.having(
        messages=[
            message | {"role": message.get("role") if message.get("role") in known else "user"}
            if isinstance(message, dict)
            else message
            for message in messages
        ]
    )


def _truncated(request: Request) -> Request:
    messages = request.json.get("messages")
    if not isinstance(messages, list):
        return request
    return request.having(
        messages=[
            message | {"content": message["content"][:20_000]}
            if isinstance(message, dict) and isinstance(message.get("content"), str)
            else message
            for message in messages
        ]
    )


def _leaking(inner: Json) -> None:
    inner["message"] = f'{inner["message"]} Traceback (most recent call last): File "/srv/app/server.py", line 7'


def _echo_key(request: Request, given: Answer) -> Answer:
    if given.status != 401 or given.body is None:
        return given
    inner = given.body["error"] | {"message": f"bad key: {request.headers.get('authorization', '')}"}
    return replace(given, body={"error": inner})


def _by_code(code: str, change: Callable[[Answer], Answer]) -> Any:
    return refusals(lambda given: change(given) if given.body["error"]["code"] == code else given)


def _overflow(**values: Any) -> Any:
    return _by_code(
        "context_length_exceeded", lambda given: replace(given, body={"error": given.body["error"] | values})
    )


def _strict_case(request: Request, given: Answer) -> Answer:
    scheme = request.headers.get("authorization", "").split(" ")[0]
    return given if scheme in ("Bearer", "") else _unauthorized(request, given)


def _needs(missing: Callable[[Request], bool], status: int = 400) -> Any:
    """A request of a certain kind is refused."""

    def answer(request: Request, given: Answer) -> Answer:
        return (
            Answer(
                status=status,
                body={"error": {"message": "refused", "type": "invalid_request_error", "param": None, "code": None}},
            )
            if missing(request)
            else given
        )

    return answering(answer)


TRANSPORT = (
    Deviation(name="no-request-id", areas=("transport",), **_headers(x_request_id=None)),
    Deviation(name="request-id-constant", areas=("transport",), **_headers(x_request_id="req_1")),
    Deviation(name="no-request-id-on-errors", areas=("transport",), **_errors_without("x_request_id")),
    Deviation(name="charset-refused", areas=("transport",), **_needs(
        lambda request: "charset" in request.headers.get("content-type", ""), 415)),
    Deviation(name="text-plain-500", areas=("transport",), **_status(500, 415)),
    Deviation(name="connection-always-closed", areas=("transport",), **_headers(Connection="close")),
    Deviation(name="gzip-that-is-none", areas=("transport",), **answering(
        lambda request, given: replace(given, body=None, raw=json.dumps(given.body).encode()).with_headers(
            Content_Encoding="gzip", Content_Type="application/json")
        if given.body is not None and "gzip" in request.headers.get("accept-encoding", "") else given)),
    Deviation(name="big-body-413", areas=("transport",), **_needs(lambda request: len(request.body) > 100_000, 413)),
    Deviation(name="big-body-500", areas=("transport",), follows=("embeddings.too_long",),
              **_needs(lambda request: len(request.body) > 100_000, 500)),
    Deviation(name="client-request-id-refused", areas=("transport",), **_needs(
        lambda request: "x-client-request-id" in request.headers)),
    Deviation(name="method-500", areas=("transport",), **_status(500, 405)),
    Deviation(name="method-html", areas=("transport",), **_raw(b"<h1>405</h1>", "text/html", 405)),
    Deviation(name="no-allow", areas=("transport",), **refusals(lambda given: given.with_headers(Allow=None), 405)),
    Deviation(name="trailing-slash-elsewhere", areas=("transport",), **answering(
        lambda request, given: Answer(status=307, raw=b"").with_headers(Location="http://127.0.0.1:9/v1/models")
        if request.path.endswith("/") else given)),
    Deviation(name="length-and-chunked", areas=("transport",), **answering(
        lambda request, given: given.with_headers(Content_Length="5") if given.events is not None else given)),
)  # fmt: skip

AUTH = (
    Deviation(name="auth-any-key-will-do", areas=("auth",), **_keyless()),
    Deviation(name="auth-models-open", areas=("auth",), **_keyless("models")),
    Deviation(name="auth-403", areas=("auth",), **_status(403, 401)),
    Deviation(name="auth-500", areas=("auth",), **_status(500, 401)),
    Deviation(name="auth-error-text", areas=("auth",), **_bodied(lambda _: {"error": "Unauthorized"}, 401)),
    Deviation(name="auth-detail", areas=("auth",), **_bodied(lambda _: {"detail": "Unauthorized"}, 401)),
    Deviation(name="auth-html", areas=("auth",), **_raw(b"<html>Sign in</html>", "text/html", 401)),
    Deviation(name="auth-empty-body", areas=("auth",), **_raw(b"", "text/plain", 401)),
    Deviation(name="auth-redirect", areas=("auth",), follows=("transport.redirects",), **refusals(
        lambda given: Answer(status=302, raw=b"").with_headers(Location="http://127.0.0.1:9/login"), 401)),
    Deviation(name="auth-200-error", areas=("auth",), **_status(200, 401)),
    Deviation(name="auth-code-missing", areas=("auth",), **_enveloped(lambda inner: inner.update(code=None), 401)),
    Deviation(name="auth-code-number", areas=("auth",), **_enveloped(lambda inner: inner.update(code=401), 401)),
    Deviation(name="auth-key-echoed", areas=("auth",), **answering(_echo_key)),
    Deviation(name="auth-scheme-case", areas=("auth",), **answering(_strict_case)),
    Deviation(name="auth-org-refused", areas=("auth",),
              **_needs(lambda request: "openai-organization" in request.headers)),
    Deviation(name="auth-stainless-refused", areas=("auth",), **_needs(
        lambda request: any(name.startswith("x-stainless") for name in request.headers)
            and request.method != "OPTIONS")),
)  # fmt: skip

MODELS = (
    Deviation(name="models-no-object", areas=("models",), **_models(drop("object"))),
    Deviation(name="models-bare-list", areas=("models",), **_models(lambda data: data["data"])),
    Deviation(name="models-no-created", areas=("models",), **_each_model(drop("created"))),
    Deviation(name="models-created-text", areas=("models",), **_each_model(lambda model: model.update(created="2026"))),
    Deviation(name="models-no-owner", areas=("models",), **_each_model(drop("owned_by"))),
    Deviation(name="models-object-wrong", areas=("models",),
              **_each_model(lambda model: model.update(object="models"))),
    Deviation(name="models-id-number", areas=("models",), **_each_model(lambda model: model.update(id=4))),
    Deviation(name="models-twice", areas=("models",), **_models(lambda data: data["data"].append(data["data"][0]))),
    Deviation(name="models-id-empty", areas=("models",), **_models(
        lambda data: data["data"].append({"id": "", "object": "model", "created": 1, "owned_by": "x"}))),
    Deviation(name="models-empty", areas=("models",), **_models(lambda data: data.update(data=[]))),
    Deviation(name="models-null", areas=("models",), **_models(lambda data: data.update(data=None))),
    Deviation(name="models-id-not-served", areas=("models",), **_models(
        lambda data: data["data"].insert(0, {"id": "gone", "object": "model", "created": 1, "owned_by": "x"}))),
    Deviation(name="models-has-more", areas=("models",), **_models(lambda data: data.update(has_more=True))),
    Deviation(name="model-one-missing", areas=("models",), **_one_model(
        lambda request, given: Answer(status=404, body={"detail": "Not Found"}))),
    Deviation(name="model-one-as-list", areas=("models",), **_one_model(
        lambda request, given: replace(given, body={"object": "list", "data": [given.body]})
        if given.status == 200 else given)),
    Deviation(name="model-one-other-id", areas=("models",), **_one_model(
        lambda request, given: replace(given, body=given.body | {"id": "other"}) if given.status == 200 else given)),
    Deviation(name="model-unknown-200", areas=("models",), **_one_model(
        lambda request, given: Answer(body={"id": request.route.split("/")[1], "object": "model", "created": 1,
                                            "owned_by": "x"}) if given.status == 404 else given)),
    Deviation(name="model-unknown-no-code", areas=("models",), **_one_model(
        lambda request, given: replace(given, body={"error": given.body["error"] | {"code": None}})
        if given.status == 404 else given)),
)  # fmt: skip

ERRORS = (
    Deviation(name="errors-flat", areas=("errors",),
              **_bodied(lambda inner: {"object": "error", "message": inner["message"], "code": inner["status"]})),
    Deviation(name="errors-detail", areas=("errors",), **_bodied(lambda inner: {"detail": inner["message"]})),
    Deviation(name="errors-detail-list", areas=("errors",),
              **_bodied(lambda inner: {"detail": [{"msg": "x", "loc": []}]})),
    Deviation(name="errors-text", areas=("errors",), **_bodied(lambda inner: {"error": inner["message"]})),
    Deviation(name="errors-message-only", areas=("errors",), **_bodied(lambda inner: {"message": inner["message"]})),
    Deviation(name="errors-list", areas=("errors",), **_bodied(lambda inner: [{"error": inner}])),
    Deviation(name="errors-nested", areas=("errors",), **_bodied(lambda inner: {"detail": {"error": inner}})),
    Deviation(name="errors-html", areas=("errors",), **_raw(b"<html>Bad Request</html>", "text/html")),
    Deviation(name="errors-empty", areas=("errors",), **_raw(b"", "application/json")),
    Deviation(name="errors-no-type", areas=("errors",), **_enveloped(drop("type"))),
    Deviation(name="errors-no-param", areas=("errors",), **_enveloped(drop("param"))),
    Deviation(name="errors-no-code", areas=("errors",), **_enveloped(drop("code"))),
    Deviation(name="errors-code-number", areas=("errors",), **_enveloped(lambda inner: inner.update(code=400))),
    Deviation(name="errors-message-empty", areas=("errors",), **_enveloped(lambda inner: inner.update(message=""))),
    Deviation(name="errors-message-list", areas=("errors",), **_enveloped(lambda inner: inner.update(message=["x"]))),
    Deviation(name="errors-param-list", areas=("errors",), **_enveloped(lambda inner: inner.update(param=["x"]))),
    Deviation(name="errors-leak", areas=("errors",), **_enveloped(_leaking)),
    Deviation(name="errors-400-as-500", areas=("errors",), **_status(500, 400)),
    Deviation(name="errors-400-as-422", areas=("errors",), **_status(422, 400)),
    Deviation(name="errors-400-as-200", areas=("errors",), **_status(200, 400)),
    Deviation(name="errors-404-as-400", areas=("errors",), **_status(400, 404)),
    Deviation(name="errors-404-as-500", areas=("errors",), **_status(500, 404)),
    Deviation(name="errors-503", areas=("errors",), **_status(503, 400)),
    Deviation(name="unknown-model-served", areas=("errors",), **asking(_known_model, CHAT)),
    Deviation(name="unknown-model-no-code", areas=("errors",), **_by_code(
        "model_not_found", lambda given: replace(given, body={"error": given.body["error"] | {"code": None}}))),
    Deviation(name="bad-role-taken", areas=("errors",), **asking(_lenient_role, CHAT)),
    Deviation(name="empty-messages-taken", areas=("errors",), **asking(
        lambda request: request.having(messages=[{"role": "user", "content": "x"}])
        if request.json.get("messages") == [] else request, CHAT)),
    Deviation(name="missing-messages-taken", areas=("errors",), **asking(
        lambda request: request.having(messages=[{"role": "user", "content": "x"}])
        if request.json and "messages" not in request.json else request, CHAT)),
    Deviation(name="missing-messages-500", areas=("errors",), **refusals(
        lambda given: replace(given, status=500) if given.body["error"]["param"] == "messages" else given)),
    Deviation(name="param-unnamed", areas=("errors",), **_enveloped(lambda inner: inner.update(param=None))),
    Deviation(name="overflow-no-code", areas=("errors",), **_overflow(code=None)),
    Deviation(name="overflow-truncated", areas=("errors",), **asking(_truncated, CHAT)),
    Deviation(name="overflow-500", areas=("errors",), **_by_code(
        "context_length_exceeded", lambda given: replace(given, status=500))),
    Deviation(name="unknown-fields-refused", areas=("errors",), **_needs(
        lambda request: any(name in request.json for name in ("prompt_cache_options", "verbosity",
            "safety_identifier")))),
    Deviation(name="bad-json-500", areas=("errors",), **answering(
        lambda request, given: replace(given, status=500) if request.body and not request.json else given)),
    Deviation(name="bad-json-200", areas=("errors",), **answering(
        lambda request, given: Answer(body={}) if request.body and not request.json else given)),
    Deviation(name="route-detail", areas=("errors",), **refusals(
        lambda given: replace(given, body={"detail": "Not Found"})
        if given.body["error"]["code"] == "unknown_url" else given)),
)  # fmt: skip

CORS = (
    Deviation(name="cors-preflight-401", areas=("cors",), **_preflight(_unauthorized)),
    Deviation(name="cors-preflight-405", areas=("cors",), **_preflight(
        lambda request, given: Answer(status=405, body={"detail": "Method Not Allowed"}))),
    Deviation(name="cors-no-stainless", areas=("cors",), **_preflight(
        lambda request, given: given.with_headers(access_control_allow_headers="authorization, content-type"))),
    Deviation(name="cors-star-only", areas=("cors",), **_preflight(
        lambda request, given: given.with_headers(access_control_allow_headers="*"))),
    Deviation(name="cors-no-origin", areas=("cors",), **_headers(access_control_allow_origin=None)),
    Deviation(name="cors-other-origin", areas=("cors",), **answering(
        lambda request, given: given.with_headers(access_control_allow_origin="https://elsewhere.example")
        if "origin" in request.headers else given)),
    Deviation(name="cors-no-post", areas=("cors",), **_preflight(
        lambda request, given: given.with_headers(access_control_allow_methods="GET"))),
    Deviation(name="cors-request-id-hidden", areas=("cors",), **_headers(access_control_expose_headers=None)),
)  # fmt: skip

DEVIATIONS = TRANSPORT + AUTH + MODELS + ERRORS + CORS
