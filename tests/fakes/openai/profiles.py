"""Hosted providers as their documents and their users describe them. None of them was called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.openai.answer import Answer, Event, Json, Request, encode_event
from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.prompt import of_chat
from tests.fakes.openai.settings import Settings

__all__ = ["PROFILES", "Profile"]

CHAT = "chat/completions"
Change = Callable[[Request, Answer], Answer]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """``source`` says where the peculiarities come from.

    ``found`` are the checks that fail, or find something unsupported, which OpenAI itself passes.
    """

    name: str
    source: str
    settings: Settings
    changes: tuple[Change, ...] = ()
    found: Mapping[str, str] = field(default_factory=dict)

    @property
    def deviation(self) -> Deviation:
        def answer(request: Request, given: Answer) -> Answer:
            for change in self.changes:
                given = change(request, given)
            return given

        return Deviation(name=self.name, areas=(), answer=answer)


def _whole(change: Callable[[Json], Any], *routes: str) -> Change:
    def answer(request: Request, given: Answer) -> Answer:
        if given.status == 200 and isinstance(given.body, dict) and request.route in routes:
            change(given.body)
        return given

    return answer


def _chunks(change: Callable[[Json], Any], *routes: str) -> Change:
    def answer(request: Request, given: Answer) -> Answer:
        if given.events is None or request.route not in routes:
            return given
        for event in given.events:
            if not isinstance(event.data, str):
                change(event.data)
        return given

    return answer


def _comments(text: str) -> Change:
    """Keep-alives before the first event, as comments."""

    def answer(request: Request, given: Answer) -> Answer:
        if given.events is None or request.route != CHAT:
            return given
        return replace(given, pieces=[f": {text}\n\n".encode()] * 2 + [encode_event(event) for event in given.events])

    return answer


def _usage_unasked(*, own_chunk: bool) -> Change:
    """Usage at the end of every stream, asked for or not: in a chunk of its own, or on the last one."""

    def answer(request: Request, given: Answer) -> Answer:
        asked = (request.json.get("stream_options") or {}).get("include_usage")
        if given.events is None or request.route != CHAT or (asked and own_chunk):
            return given
        events = [event for event in given.events if isinstance(event.data, str) or event.data["choices"]]
        last: Any = events[-2].data
        said = sum(1 for event in events if _says(event))
        usage = next((event.data["usage"] for event in given.events if not isinstance(event.data, str)
                      and event.data.get("usage")), _counted(request, said))  # fmt: skip
        if own_chunk:
            return replace(given, events=[*events[:-1], Event({**last, "choices": [], "usage": usage}), events[-1]])
        return replace(given, events=[*events[:-2], Event({**last, "usage": usage}), events[-1]])

    return answer


def _says(event: Event) -> bool:
    choices = [] if isinstance(event.data, str) else event.data["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


def _counted(request: Request, said: int) -> Json:
    prompt = len(of_chat(request.json))
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def _errors(change: Callable[[Json, int], Json]) -> Change:
    def answer(_: Request, given: Answer) -> Answer:
        if given.status < 400 or not isinstance(given.body, dict):
            return given
        return replace(given, body={"error": change(given.body["error"], given.status)})

    return answer


def _numbered(error: Json, status: int) -> Json:
    """OpenRouter's errors have the status as code, and no type or param."""
    return {"code": status, "message": error["message"], "metadata": {}}


def _without(*routes: str) -> Change:
    def answer(request: Request, given: Answer) -> Answer:
        if not any(request.route == route or request.route.startswith(f"{route}/") for route in routes):
            return given
        inner = {"message": "Not Found", "type": "invalid_request_error", "param": None, "code": "not_found"}
        return Answer(status=404, headers=given.headers, body={"error": inner})

    return answer


def _headers(**values: str | None) -> Change:
    return lambda _, given: given.with_headers(**values)


def _routed(data: Json) -> None:
    data["provider"] = "Fake"
    for choice in data["choices"]:
        choice["native_finish_reason"] = choice["finish_reason"]


def _bare_list(request: Request, given: Answer) -> Answer:
    return replace(given, body=given.body["data"]) if request.route == "models" and given.status == 200 else given


def _refuse(request: Request, given: Answer) -> Answer:
    """OpenAI's newer models: another name for the limit, and no temperature but the default."""
    wrong = None
    if request.route == CHAT and request.json.get("max_tokens") is not None:
        wrong = (
            "max_tokens",
            "unsupported_parameter",
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        )
    elif request.route == CHAT and request.json.get("temperature") not in (None, 1):
        wrong = (
            "temperature",
            "unsupported_value",
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.",
        )
    if not wrong or given.status != 200:
        return given
    inner = {"message": wrong[2], "type": "invalid_request_error", "param": wrong[0], "code": wrong[1]}
    return Answer(status=400, headers=given.headers, body={"error": inner})


ERRORS_BY_NUMBER = dict.fromkeys(
    ("auth.code", "models.retrieve.code", "error.type", "error.param", "error.code", "error.model.code",
     "error.param.field", "error.context.code"), "fail",
)  # fmt: skip
"""What follows where an error has no type and no param, and its code is the status."""

PROFILES = (
    Profile(name="openai", source="OpenAI's specification and SDKs", settings=Settings()),
    Profile(
        name="openai-newer", source="OpenAI's models that reason: threads on max_tokens and temperature",
        settings=Settings(), changes=(_refuse,),
        found={
            "param.max_tokens": "unsupported", "param.temperature.zero": "unsupported", "param.top_p": "unsupported",
            "param.temperature.greedy": "unsupported", "param.temperature.bounds": "unsupported",
            "param.n.differ": "unsupported",
        },
    ),
    Profile(
        name="openrouter",
        source="OpenRouter's API reference: comments while it waits, provider and native_finish_reason, usage at the "
        "end of every stream, errors with the status as code; mnfst/llm-gateway#2053",
        settings=Settings(chat_model="openai/fake", embedding_model="openai/fake-embedding", reasoning="reasoning"),
        found=ERRORS_BY_NUMBER | {"stream.usage.unasked": "fail", "stream.every.usage": "fail"},
        changes=(
            _whole(_routed, CHAT), _chunks(_routed, CHAT), _usage_unasked(own_chunk=True),
            _comments("OPENROUTER PROCESSING"), _errors(_numbered),
        ),
    ),
    Profile(
        name="together",
        source="longy2k/obsidian-bmo-chatbot#51, helixml/helix#386: a bare list of models; "
        "langchain-ai/langchainjs#7488: the object text.completion",
        found={"models.list": "fail", "completions.shape": "fail", "completions.every.shape": "fail"},
        settings=Settings(chat_model="meta-llama/Fake-Chat-Turbo", embedding_model="BAAI/bge-fake-embedding"),
        changes=(
            _bare_list, _whole(lambda data: data.update(object="text.completion"), "completions"),
            _without("responses"),
        ),
    ),
    Profile(
        name="fireworks",
        source="Fireworks' page on OpenAI compatibility: full names of models, usage on the last chunk of every stream",
        settings=Settings(
            chat_model="accounts/fireworks/models/fake-chat", embedding_model="accounts/fireworks/models/fake-embedding"
        ),
        changes=(_usage_unasked(own_chunk=False),),
        found={"stream.usage.chunk": "fail"},
    ),
    Profile(
        name="infron",
        source="Infron's documents: models as provider/model, five routes, errors with the status as code",
        settings=Settings(chat_model="openai/fake-chat@20261201", embedding_model="openai/fake-embedding"),
        changes=(_without("completions"), _errors(_numbered), _headers(x_request_id=None)),
        found=ERRORS_BY_NUMBER | {"transport.request_id": "fail", "completions.answers": "unsupported"},
    ),
)  # fmt: skip
