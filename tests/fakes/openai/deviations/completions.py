"""Text completions and embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, body, chunks, drop, each, events, without_done
from tests.fakes.openai.embeddings import encoded

TEXT, VECTORS = "completions", "embeddings"


def _data(change: Callable[[Json], Any]) -> Any:
    return body(change, TEXT)


def _choice(change: Callable[[Json], Any]) -> Any:
    return body(lambda data: each(data["choices"], change), TEXT)


def _ignored(*names: str) -> Any:
    return asking(lambda request: request.without(*names), TEXT)


def _logprobs(change: Callable[[Json], Any]) -> Any:
    return _choice(lambda choice: change(choice["logprobs"]) if choice.get("logprobs") else None)


def _refused(wrong: Callable[[Request], Any], route: str, status: int = 500, *, envelope: bool = True) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        inner = {"message": "no", "type": "server_error", "param": None, "code": None}
        found = {"error": inner} if envelope else {"detail": "no"}
        return Answer(status=status, body=found) if wrong(request) else given

    return answering(answer, route)


def _chunk(change: Callable[[Json], Any]) -> Any:
    return chunks(change, TEXT)


def _first_prompt(request: Request) -> Request:
    prompt = request.json.get("prompt")
    several = isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list)
    return request.having(prompt=prompt[0]) if several and isinstance(prompt, list) else request


def _is_ids(request: Request) -> bool:
    prompt = request.json.get("prompt")
    return isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], str)


def _ids_as_text(request: Request) -> Request:
    return request.having(prompt=str(request.json["prompt"])) if _is_ids(request) else request


def _swap(data: Json) -> None:
    if len(data["choices"]) == 2 and not isinstance(data["choices"][0].get("logprobs"), dict):
        first, second = data["choices"]
        first["text"], second["text"] = second["text"], first["text"]


def _prompt_logprobs_lost(found: Json) -> None:
    if found["token_logprobs"][:1] == [None]:
        for name in found:
            found[name] = (found[name] or [])[len(found[name] or []) - 0 :]


def _chat_shape(data: Json) -> None:
    data["object"] = "chat.completion"
    for choice in data["choices"]:
        choice["message"] = {"role": "assistant", "content": choice.pop("text")}


def _usage_lost(data: Json) -> bool:
    return not (data.get("usage") and not data["choices"])


COMPLETIONS = (
    Deviation(name="completions-404-detail", areas=("completions",), **answering(
        lambda request, given: Answer(status=404, body={"detail": "Not Found"}), TEXT)),
    Deviation(name="completions-500", areas=("completions",), **_refused(lambda _: True, TEXT)),
    Deviation(name="completions-as-chat", areas=("completions",), **_data(_chat_shape)),
    Deviation(name="completions-object", areas=("completions",),
              **_data(lambda data: data.update(object="completion"))),
    Deviation(name="completions-no-id", areas=("completions",), **_data(drop("id"))),
    Deviation(name="completions-no-created", areas=("completions",), **_data(drop("created"))),
    Deviation(name="completions-no-usage", areas=("completions",), **_data(drop("usage"))),
    Deviation(name="completions-usage-wrong", areas=("completions",), **_data(
        lambda data: data["usage"].update(total_tokens=1))),
    Deviation(name="completions-finish-eos", areas=("completions",),
              **_choice(lambda choice: choice.update(finish_reason="eos"))),
    Deviation(name="completions-finish-null", areas=("completions",),
              **_choice(lambda choice: choice.update(finish_reason=None))),
    Deviation(name="completions-text-null", areas=("completions",), **_choice(lambda choice: choice.update(text=None))),
    Deviation(name="completions-no-index", areas=("completions",), **_choice(drop("index"))),
    Deviation(name="completions-limit-ignored", areas=("completions",), **_ignored("max_tokens")),
    Deviation(name="completions-no-default-limit", areas=("completions",), **asking(
        lambda request: request if request.json.get("max_tokens") is not None else request.having(max_tokens=40),
            TEXT)),
    Deviation(name="completions-first-prompt-only", areas=("completions",), **asking(_first_prompt, TEXT)),
    Deviation(name="completions-prompts-refused", areas=("completions",), **_refused(
        lambda request: isinstance(request.json.get("prompt"), list) and isinstance((request.json["prompt"]
            or [0])[0], str),
        TEXT, 422, envelope=False)),
    Deviation(name="completions-prompts-swapped", areas=("completions",), **_data(_swap)),
    Deviation(name="completions-ids-refused", areas=("completions",), **_refused(_is_ids, TEXT, 422, envelope=False)),
    Deviation(name="completions-ids-as-text", areas=("completions",), **asking(_ids_as_text, TEXT)),
    Deviation(name="completions-echo-ignored", areas=("completions",), **_ignored("echo")),
    Deviation(name="completions-echo-always", areas=("completions",),
              **asking(lambda request: request.having(echo=True), TEXT)),
    Deviation(name="completions-stop-ignored", areas=("completions",), **_ignored("stop")),
    Deviation(name="completions-n-ignored", areas=("completions",), **_ignored("n")),
    Deviation(name="completions-best-of-500", areas=("completions",), **_refused(
        lambda request: request.json.get("best_of"), TEXT)),
    Deviation(name="completions-suffix-ignored", areas=("completions",), **_ignored("suffix")),
    Deviation(name="completions-seed-ignored", areas=("completions",), **_ignored("seed")),
    Deviation(name="completions-logprobs-ignored", areas=("completions",), **_ignored("logprobs")),
    Deviation(name="completions-logprobs-always", areas=("completions",), **asking(
        lambda request: request.having(logprobs=1) if request.json.get("logprobs") is None else request, TEXT)),
    Deviation(name="completions-logprobs-short", areas=("completions",),
              **_logprobs(lambda found: found["tokens"].pop() and None)),
    Deviation(name="completions-logprobs-positive", areas=("completions",), **_logprobs(
        lambda found: found.update(token_logprobs=[0.4] * len(found["token_logprobs"])))),
    Deviation(name="completions-logprobs-zero", areas=("completions",), **_logprobs(
        lambda found: found.update(token_logprobs=[-9.0] * len(found["token_logprobs"])))),
    Deviation(name="completions-logprobs-chat-shape", areas=("completions",), **_choice(
        lambda choice: choice.update(logprobs={"content": []}) if choice.get("logprobs") else None)),
    Deviation(name="completions-logprobs-ids", areas=("completions",), **_logprobs(
        lambda found: found.update(tokens=["7"] * len(found["tokens"])))),
    Deviation(name="completions-offsets-zero", areas=("completions",), **_logprobs(
        lambda found: found.update(text_offset=[0] * len(found["text_offset"])))),
    Deviation(name="completions-top-null", areas=("completions",),
              **_logprobs(lambda found: found.update(top_logprobs=None))),
    Deviation(name="completions-top-ten", areas=("completions",), **_logprobs(
        lambda found: found.update(top_logprobs=[
            {str(place): -1.0 * place for place in range(1, 11)} for _ in found["tokens"]]))),
    Deviation(name="completions-echo-logprobs-lost", areas=("completions",), **asking(
        lambda request: request.without("echo") if request.json.get("logprobs") is not None else request, TEXT)),
    Deviation(name="completions-echo-first-zero", areas=("completions",), **_logprobs(
        lambda found: found.update(token_logprobs=[value or 0.5 for value in found["token_logprobs"]]))),
    Deviation(name="completions-empty-500", areas=("completions",), **_refused(
        lambda request: request.json.get("prompt") in ("", []), TEXT)),
    Deviation(name="completions-no-prompt-taken", areas=("completions",), **asking(
        lambda request: request if "prompt" in request.json else request.having(prompt="x"), TEXT)),
    Deviation(name="completions-stream-object", areas=("completions",), **_chunk(
        lambda data: data.update(object="chat.completion.chunk"))),
    Deviation(name="completions-stream-no-done", areas=("completions",), **events(without_done, TEXT)),
    Deviation(name="completions-stream-no-usage", areas=("completions",), **_chunk(_usage_lost)),
    Deviation(name="completions-stream-usage-choices", areas=("completions",), **_chunk(
        lambda data: data.update(choices=[{"index": 0, "text": "", "logprobs": None, "finish_reason": None}])
        if data.get("usage") else None)),
    Deviation(name="completions-stream-usage-wrong", areas=("completions",), **_chunk(
        lambda data: data["usage"].update(prompt_tokens=1) if data.get("usage") else None)),
    Deviation(name="completions-stream-delta", areas=("completions",), **_chunk(
        lambda data: each(data["choices"], lambda choice: choice.update(delta={"content": choice.pop("text")})))),
    Deviation(name="completions-stream-no-finish", areas=("completions",), **_chunk(
        lambda data: each(data["choices"], lambda choice: choice.update(finish_reason=None)))),
    Deviation(name="completions-stream-ignored", areas=("completions",), **asking(
        lambda request: request.without("stream", "stream_options"), TEXT)),
    Deviation(name="completions-stream-token-lost", areas=("completions",), **events(
        lambda given: [given[0], *given[2:]] if len(given) > 4 else given, TEXT)),
    Deviation(name="completions-stream-error", areas=("completions",), **events(
        lambda given: [*given[:2], Event({"object": "error", "message": "boom"}), DONE], TEXT)),
)  # fmt: skip


def _items(change: Callable[[list[Json]], Any]) -> Any:
    return body(lambda data: change(data["data"]), VECTORS)


def _vectors(change: Callable[[list[float]], Any]) -> Any:
    """Each embedding that is a list of numbers."""

    def each(items: list[Json]) -> None:
        for item in items:
            if isinstance(item["embedding"], list):
                item["embedding"] = change(item["embedding"])

    return _items(each)


def _packed(form: str) -> Any:
    """base64 of other numbers."""

    def answer(request: Request, given: Answer) -> Answer:
        if given.status != 200 or request.json.get("encoding_format") != "base64":
            return given
        from llmserve.probe.checks.embeddings import unpacked

        items = [item | {"embedding": encoded(unpacked(item["embedding"]), form)} for item in given.body["data"]]
        return replace(given, body=given.body | {"data": items})

    return answering(answer, VECTORS)


def _asks(change: Callable[[Request], Request]) -> Any:
    return asking(change, VECTORS)


def _input_is(kind: type) -> Callable[[Request], bool]:
    def found(request: Request) -> bool:
        given = request.json.get("input")
        return isinstance(given, list) and bool(given) and isinstance(given[0], kind)

    return found


def _padded(data: Json) -> None:
    """In a batch the vectors are others than alone."""
    if len(data["data"]) > 1 and isinstance(data["data"][0]["embedding"], list):
        for item in data["data"]:
            item["embedding"] = [value * (1 if place % 3 else -1) for place, value in enumerate(item["embedding"])]


def _same(items: list[Json]) -> None:
    for item in items:
        item["embedding"] = [0.1] * 48 if isinstance(item["embedding"], list) else encoded([0.1] * 48)


EMBEDDINGS = (
    Deviation(name="b01-base64-ignored", areas=("embeddings",), **_asks(
        lambda request: request.without("encoding_format")
            if request.json.get("encoding_format") == "base64" else request)),
    Deviation(name="b02-base64-doubles", areas=("embeddings",), **_packed("<d")),
    Deviation(name="b03-base64-big-endian", areas=("embeddings",), **_packed(">f")),
    Deviation(name="base64-always", areas=("embeddings",),
              **_asks(lambda request: request.having(encoding_format="base64"))),
    Deviation(name="base64-refused", areas=("embeddings",), **_refused(
        lambda request: request.json.get("encoding_format") == "base64", VECTORS, 422, envelope=False)),
    Deviation(name="base64-text", areas=("embeddings",), **_items(
        lambda items: [item.update(embedding="not base64!") for item in items if isinstance(item["embedding"], str)]
            and None)),
    Deviation(name="b04-nested", areas=("embeddings",), **_vectors(lambda values: [values])),
    Deviation(name="b05-empty", areas=("embeddings",), **body(lambda data: data.update(data=[]), VECTORS)),
    Deviation(name="b07-out-of-order", areas=("embeddings",), **_items(lambda items: items.reverse())),
    Deviation(name="embeddings-order-swapped", areas=("embeddings",), **_items(
        lambda items: items[0].update(embedding=items[-1]["embedding"]))),
    Deviation(name="embeddings-index-zero", areas=("embeddings",), **_items(
        lambda items: each(items, lambda item: item.update(index=0)))),
    Deviation(name="embeddings-no-index", areas=("embeddings",), **_items(lambda items: each(items, drop("index")))),
    Deviation(name="embeddings-object", areas=("embeddings",),
              **body(lambda data: data.update(object="embeddings"), VECTORS)),
    Deviation(name="embeddings-no-usage", areas=("embeddings",), **body(drop("usage"), VECTORS)),
    Deviation(name="embeddings-usage-zero", areas=("embeddings",), **body(
        lambda data: data["usage"].update(prompt_tokens=0, total_tokens=0), VECTORS)),
    Deviation(name="embeddings-no-model", areas=("embeddings",), **body(drop("model"), VECTORS)),
    Deviation(name="embeddings-other-model", areas=("embeddings",),
              **body(lambda data: data.update(model="x"), VECTORS)),
    Deviation(name="embeddings-text-numbers", areas=("embeddings",),
              **_vectors(lambda values: [str(value) for value in values])),
    Deviation(name="embeddings-null", areas=("embeddings",), **_vectors(lambda values: None)),
    Deviation(name="embeddings-not-normalised", areas=("embeddings",),
              **_vectors(lambda values: [7 * value for value in values])),
    Deviation(name="embeddings-zeros", areas=("embeddings",), **_vectors(lambda values: [0.0] * len(values))),
    Deviation(name="embeddings-all-the-same", areas=("embeddings",), **_items(_same)),
    Deviation(name="embeddings-batch-differs", areas=("embeddings",), **body(_padded, VECTORS)),
    Deviation(name="embeddings-first-only", areas=("embeddings",), **_asks(
        lambda request: request.having(input=request.json["input"][0]) if _input_is(str)(request) else request)),
    Deviation(name="embeddings-batch-refused", areas=("embeddings",), **_refused(
        lambda request: len(request.json.get("input") or "") > 1 and _input_is(str)(request), VECTORS)),
    Deviation(name="embeddings-ids-refused", areas=("embeddings",),
              **_refused(_input_is(int), VECTORS, 422, envelope=False)),
    Deviation(name="embeddings-id-lists-refused", areas=("embeddings",), **_refused(_input_is(list), VECTORS, 500)),
    Deviation(name="embeddings-ids-as-batch", areas=("embeddings",), **_asks(
        lambda request: request.having(input=[str(one) for one in request.json["input"]])
            if _input_is(int)(request) else request)),
    Deviation(name="embeddings-dimensions-ignored", areas=("embeddings",),
              **_asks(lambda request: request.without("dimensions"))),
    Deviation(name="embeddings-dimensions-not-normalised", areas=("embeddings",), **_vectors(
        lambda values: [value / 3 for value in values] if len(values) == 8 else values)),
    Deviation(name="embeddings-dimensions-padded", areas=("embeddings",), **_vectors(
        lambda values: [*values, 0.0] if len(values) == 8 else values)),
    Deviation(name="embeddings-bad-format-taken", areas=("embeddings",), **_asks(
        lambda request: request.without("encoding_format")
            if request.json.get("encoding_format") == "md5" else request)),
    Deviation(name="embeddings-empty-500", areas=("embeddings",), **_refused(
        lambda request: request.json.get("input") in ("", []), VECTORS)),
    Deviation(name="embeddings-empty-taken", areas=("embeddings",), **_asks(
        lambda request: request.having(input="x") if request.json.get("input") == [] else request)),
    Deviation(name="embeddings-no-input-500", areas=("embeddings",), **_refused(
        lambda request: "input" not in request.json, VECTORS)),
    Deviation(name="embeddings-too-long-500", areas=("embeddings",), **_refused(
        lambda request: len(str(request.json.get("input"))) > 50_000 and isinstance(request.json.get("input"), str),
            VECTORS)),
    Deviation(name="embeddings-many-truncated", areas=("embeddings",), **_asks(
        lambda request: request.having(input=request.json["input"][:2048])
        if isinstance(request.json.get("input"), list) else request)),
    Deviation(name="embeddings-unknown-model-served", areas=("embeddings",), **_asks(
        lambda request: request.having(model="fake-embedding"))),
    Deviation(name="embeddings-user-refused", areas=("embeddings",), **_refused(
        lambda request: "user" in request.json, VECTORS, 422, envelope=False)),
    Deviation(name="embeddings-default-other", areas=("embeddings",), **_asks(
        lambda request: request if request.json.get("encoding_format") else request.having(encoding_format="base64"))),
)  # fmt: skip

DEVIATIONS = COMPLETIONS + EMBEDDINGS
