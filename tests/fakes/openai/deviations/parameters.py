"""Parameters that are accepted and do nothing, or the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import Answer, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, body, choices

CHAT = "chat/completions"


def _ignored(*names: str) -> Any:
    return asking(lambda request: request.without(*names), CHAT)


def _changed(name: str, change: Callable[[Any], Any]) -> Any:
    def ask(request: Request) -> Request:
        return request.having(**{name: change(request.json[name])}) if request.json.get(name) is not None else request

    return asking(ask, CHAT)


def _clamped(name: str, least: float, most: float) -> Any:
    """Values that should be refused are moved into the range instead."""

    def move(value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return max(least, min(most, value)) if number else least

    return _changed(name, move)


def _refused(*names: str) -> Any:
    """What OpenAI takes is an unknown field here."""

    def answer(request: Request, given: Answer) -> Answer:
        found = next((name for name in names if request.json.get(name) is not None), None)
        if found is None:
            return given
        message = f"Unrecognized request argument supplied: {found}"
        return Answer(
            status=400,
            body={
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": found,
                    "code": "unknown_parameter",
                }
            },
        )

    return answering(answer, CHAT)


def _stop_left_in(request: Request, given: Answer) -> Answer:
    stop = request.json.get("stop")
    if given.status != 200 or given.body is None or not stop:
        return given
    word = stop if isinstance(stop, str) else stop[0]
    for choice in given.body["choices"]:
        if choice["finish_reason"] == "stop" and choice["message"]["content"] is not None:
            choice["message"]["content"] += word
    return given


def _no_nulls(request: Request, given: Answer) -> Answer:
    null = next((name for name, value in request.json.items() if value is None), None)
    if null is None:
        return given
    message = f"Invalid type for '{null}': expected a value, but got null instead."
    return Answer(
        status=400,
        body={"error": {"message": message, "type": "invalid_request_error", "param": null, "code": "invalid_type"}},
    )


def _one_index(request: Request, given: Answer) -> Answer:
    for choice in given.body["choices"] if given.body and given.status == 200 else []:
        choice["index"] = 0
    return given


def _prompt_per_choice(data: Any) -> None:
    count = len(data["choices"])
    data["usage"]["prompt_tokens"] *= count
    data["usage"]["total_tokens"] = data["usage"]["prompt_tokens"] + data["usage"]["completion_tokens"]


def _limit_off(request: Request) -> Request:
    changed = {
        name: request.json[name] + 2 for name in ("max_tokens", "max_completion_tokens") if request.json.get(name)
    }
    return request.having(**changed)


def _stream_ignores(name: str) -> Any:
    return asking(lambda request: request.without(name) if request.streams else request, CHAT)


def _frozen_seed(request: Request) -> Request:
    return request.having(seed=1) if request.route == CHAT else request


def _unseeded(request: Request) -> Request:
    return request.having(seed=request.number) if request.json.get("seed") is not None else request


DEVIATIONS = (
    Deviation(name="ignored-max-tokens", areas=("parameters",), **_ignored("max_tokens")),
    Deviation(name="ignored-max-completion-tokens", areas=("parameters",), **_ignored("max_completion_tokens")),
    Deviation(name="limit-off-by-two", areas=("parameters",), **asking(_limit_off, CHAT)),
    Deviation(name="refused-max-completion-tokens", areas=("parameters",), **_refused("max_completion_tokens")),
    Deviation(name="ignored-n", areas=("parameters",), **_ignored("n")),
    Deviation(name="n-always-two", areas=("chat", "parameters"),
              **asking(lambda request: request.having(n=2), CHAT)),
    Deviation(name="n-index-always-zero", areas=("parameters",), **answering(_one_index, CHAT)),
    Deviation(name="n-prompt-counted-each", areas=("parameters",), **body(_prompt_per_choice)),
    Deviation(name="ignored-stop", areas=("parameters",), **_ignored("stop")),
    Deviation(name="stop-left-in-text", areas=("parameters",), **answering(_stop_left_in, CHAT)),
    Deviation(name="stop-finish-length", areas=("parameters",), **choices(
        lambda choice: choice.update(finish_reason="length") if choice["finish_reason"] == "stop" else None)),
    Deviation(name="stop-string-refused", areas=("parameters",), **answering(
        lambda request, given: Answer(status=400, body={"error": {
            "message": "stop must be a list", "type": "invalid_request_error", "param": "stop", "code": None}})
        if isinstance(request.json.get("stop"), str) else given, CHAT)),
    Deviation(name="stop-first-only", areas=("parameters",),
              **_changed("stop", lambda stop: stop[:1] if isinstance(stop, list) else stop)),
    Deviation(name="stop-last-only", areas=("parameters",),
              **_changed("stop", lambda stop: stop[-1:] if isinstance(stop, list) else stop)),
    Deviation(name="stop-streamed-ignored", areas=("parameters", "streaming"), **_stream_ignores("stop")),
    Deviation(name="ignored-temperature", areas=("parameters",), **_ignored("temperature")),
    Deviation(name="temperature-always-zero", areas=("parameters",),
              **asking(lambda request: request.having(temperature=0), CHAT)),
    Deviation(name="temperature-out-of-range-taken", areas=("parameters", "errors"), **_clamped("temperature", 0, 2)),
    Deviation(name="ignored-top-p", areas=("parameters",), **_ignored("top_p")),
    Deviation(name="top-p-out-of-range-taken", areas=("parameters", "errors"), **_clamped("top_p", 0, 1)),
    Deviation(name="ignored-seed", areas=("parameters",), **_ignored("seed")),
    Deviation(name="seed-random", areas=("parameters",), **asking(_unseeded, CHAT)),
    Deviation(name="seed-frozen", areas=("parameters",), **asking(_frozen_seed, CHAT)),
    Deviation(name="refused-seed", areas=("parameters",), **_refused("seed")),
    Deviation(name="ignored-frequency-penalty", areas=("parameters",), **_ignored("frequency_penalty")),
    Deviation(name="ignored-presence-penalty", areas=("parameters",), **_ignored("presence_penalty")),
    Deviation(name="refused-penalties", areas=("parameters",), **_refused("frequency_penalty", "presence_penalty")),
    Deviation(name="ignored-logit-bias", areas=("parameters",), **_ignored("logit_bias")),
    Deviation(name="logit-bias-one-off", areas=("parameters",), **_changed(
        "logit_bias", lambda bias: {"50": max(bias.values(), default=0)} if bias else bias)),
    Deviation(name="ignored-logprobs", areas=("parameters",), **_ignored("logprobs", "top_logprobs")),
    Deviation(name="ignored-top-logprobs", areas=("parameters",), **_ignored("top_logprobs")),
    Deviation(name="top-logprobs-always-five", areas=("parameters",),
              **asking(lambda request: request.having(top_logprobs=5) if request.json.get("logprobs") else request,
                  CHAT)),
    Deviation(name="top-logprobs-over-limit-taken", areas=("parameters",), **_clamped("top_logprobs", 0, 20)),
    Deviation(name="logprobs-streamed-ignored", areas=("parameters", "streaming"), **asking(
        lambda request: request.without("logprobs", "top_logprobs") if request.streams else request, CHAT)),
    Deviation(name="logprobs-unasked", areas=("chat", "parameters"),
              **asking(lambda request: request.having(logprobs=True), CHAT)),
    Deviation(name="max-tokens-negative-taken", areas=("errors",), **_clamped("max_tokens", 1, 10**9)),
    Deviation(name="n-zero-taken", areas=("errors",), **_clamped("n", 1, 128)),
    Deviation(name="stop-five-taken", areas=("errors",), **_changed("stop", lambda stop: stop[:4])),
    Deviation(name="refused-nulls", areas=("errors",), **answering(_no_nulls, CHAT)),
    Deviation(name="refused-user-fields", areas=("parameters", "errors"), **_refused("user", "metadata", "store")),
    Deviation(name="refused-new-fields", areas=("errors",), **_refused(
        "prompt_cache_key", "safety_identifier", "verbosity", "service_tier", "prediction")),
    Deviation(name="refused-reasoning-effort-500", areas=("parameters",), **answering(
        lambda request, given: replace(given, status=500, body={"error": {
            "message": "it broke", "type": "server_error", "param": None, "code": None}}, events=None)
        if request.json.get("reasoning_effort") else given, CHAT)),
    Deviation(name="refused-logit-bias-500", areas=("parameters",), **answering(
        lambda request, given: replace(given, status=500, body={"error": {
            "message": "KeyError", "type": "server_error", "param": None, "code": None}})
        if given.status == 400 and request.json.get("logit_bias") else given, CHAT)),
    Deviation(name="refused-parallel-tool-calls", areas=("tools",), **_refused("parallel_tool_calls")),
)  # fmt: skip
