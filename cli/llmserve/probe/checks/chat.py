"""The shape of a chat completion, judged on one short answer."""

from __future__ import annotations

import time

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, is_count, is_int, kind, short

check = in_area("chat", needs=("chat",))

FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")
THOUGHTS = ("reasoning_content", "reasoning")
DAY_S = 86_400
NO_ROW = "none"
"""For a failure that no row of the client table stands for."""
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@check(
    "chat.answers", "A plain chat request is answered", BREAKS, needs=("model",), quick=True,
    expects="200 and a JSON object with at least one choice", source="spec CreateChatCompletionResponse",
    rows=("n06_no_choices", "n06b_choices_null", "n06c_choices_empty", "n12_html", "n12b_200_error", "n12c_sse"),
)  # fmt: skip
def answers(ctx: Context) -> Finding:
    answer = ctx.chat()
    if answer.exchange.error:
        return fail(answer.brief(), rows=(NO_ROW,))
    if answer.is_ok and answer.exchange.body.startswith(b"data:"):
        return fail("200 with an event stream, though none was asked for", rows=("n12c_sse",))
    if answer.is_ok and answer.data is MISSING:
        return fail(f"200 with no JSON: {answer.said}", rows=("n12_html",))
    data = answer.accepted(refusal="fail")
    if answer.choices:
        return verdict(answer.status == 200, saw=f"{answer.status} with {len(answer.choices)} choice")
    if data.get("error"):
        return fail(f"200 with an error inside: {answer.said}", rows=("n12b_200_error",))
    found = dig(data, "choices")
    rows = {"null": "n06b_choices_null", "array": "n06c_choices_empty"}
    return fail(f"200 with choices {kind(found)}", rows=(rows.get(kind(found), "n06_no_choices"),))


@check(
    "chat.id", "The answer has an id", BREAKS, quick=True, rows=("n01_no_id",),
    expects="id is a string that is not empty", source="spec CreateChatCompletionResponse, required; measured n01",
)  # fmt: skip
def has_id(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "id")
    return verdict(isinstance(found, str) and bool(found), saw=f"id is {short(repr(found), 60)}")


@check(
    "chat.id.unique", "Each answer has an id of its own", COSMETIC,
    expects="two answers have two ids", source="spec: a unique identifier for the chat completion",
    requests=1, tokens=8,
)  # fmt: skip
def id_unique(ctx: Context) -> Finding:
    first, second = (dig(ctx.chat(again=again).data, "id") for again in (0, 2))
    if not isinstance(first, str) or not isinstance(second, str):
        return inconclusive("there are no ids to compare (see chat.id)")
    return verdict(first != second, saw=f"{short(first, 50)} and {short(second, 50)}")


@check(
    "chat.object", "The answer says what it is", BREAKS, quick=True, rows=("n02_no_object",),
    expects='object is "chat.completion"', source="spec CreateChatCompletionResponse, required; measured n02",
)  # fmt: skip
def says_object(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "object")
    return verdict(found == "chat.completion", saw=f"object is {short(repr(found), 60)}")


@check(
    "chat.created", "The answer says when it was made", BREAKS, rows=("n03_no_created", "n03b_created_float"),
    expects="created is a whole number", source="spec CreateChatCompletionResponse, required; measured n03b",
)  # fmt: skip
def created(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "created")
    rows = ("n03b_created_float",) if isinstance(found, float) else ("n03_no_created",)
    return verdict(is_int(found), saw=f"created is {kind(found)}", rows=rows)


@check(
    "chat.created.seconds", "The time of an answer is in seconds", COSMETIC, rows=("n03c_created_ms",),
    expects="created is within a day of now, in seconds", source="spec: Unix timestamp (in seconds)",
)  # fmt: skip
def created_seconds(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "created")
    if not isinstance(found, (int, float)):
        return inconclusive("created is no number (see chat.created)")
    return verdict(abs(found - time.time()) < DAY_S, saw=f"created is {short(found)}")


@check(
    "chat.model", "The answer names the model", BREAKS, quick=True, rows=("n04_no_model",),
    expects="model is a string that is not empty", source="spec CreateChatCompletionResponse, required; measured n04",
)  # fmt: skip
def names_model(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "model")
    return verdict(isinstance(found, str) and bool(found), saw=f"model is {short(repr(found), 60)}")


@check(
    "chat.model.known", "The answer names the model that was asked", COSMETIC,
    expects="model is the id that was asked for, or a dated version of it, and no path of the server's disk",
    source="spec: the model used for the chat completion",
)  # fmt: skip
def model_known(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "model")
    if not isinstance(found, str) or not found:
        return inconclusive("no model is named (see chat.model)")
    tail = ctx.model.rpartition("/")[2].lower()
    known = (
        found == ctx.model or found in ctx.facts.served or (not found.startswith(("/", "~")) and tail in found.lower())
    )
    return verdict(known, saw=f"asked {short(ctx.model, 60)}, answered {short(found, 60)}")


@check(
    "chat.choice.count", "One choice unless more are asked for", BREAKS, quick=True,
    expects="choices has one element", source="spec: n defaults to 1",
)  # fmt: skip
def one_choice(ctx: Context) -> Finding:
    return verdict(len(ctx.chat().choices) == 1, saw=f"{len(ctx.chat().choices)} choices")


@check(
    "chat.choice.index", "The choice has an index", BREAKS, quick=True, rows=("n13_no_index",),
    expects="choices[0].index is 0", source="spec, required; measured n13",
)  # fmt: skip
def choice_index(ctx: Context) -> Finding:
    found = dig(ctx.chat().choice, "index")
    return verdict(is_int(found) and found == 0, saw=f"index is {short(repr(found), 40)}")


@check(
    "chat.choice.finish_reason", "The choice says why it ended", BREAKS, quick=True,
    rows=("n09_fin_null", "n10_fin_eos"),
    expects=f"finish_reason is one of {', '.join(FINISHES)}", source="spec; measured n09, n10",
)  # fmt: skip
def finish_reason(ctx: Context) -> Finding:
    found = ctx.chat().finish
    rows = ("n10_fin_eos",) if isinstance(found, str) else ("n09_fin_null",)
    return verdict(found in FINISHES, saw=f"finish_reason is {short(repr(found), 40)}", rows=rows)


@check(
    "chat.choice.length", "An answer that was cut says so", FEATURE, requests=1, tokens=1,
    expects='finish_reason is "length" where max_tokens cut the answer',
    source="spec; the SDKs' LengthFinishReasonError",
)  # fmt: skip
def finish_length(ctx: Context) -> Finding:
    answer = ctx.chat(tokens=1)
    answer.accepted()
    used = answer.usage.get("completion_tokens", 1)
    if answer.finish == "stop" and (not answer.text.strip() or used == 0):
        return inconclusive("the model ended by itself at the first token")
    if is_count(used) and used != 1:
        return inconclusive(f"the limit of 1 token has no effect: {used} tokens (see param.max_tokens)")
    return verdict(answer.finish == "length", saw=f"finish_reason is {short(repr(answer.finish), 40)} after 1 token")


@check(
    "chat.choice.message", "The choice holds a message", BREAKS, quick=True,
    expects="choices[0].message is an object", source="spec, required",
)  # fmt: skip
def has_message(ctx: Context) -> Finding:
    found = dig(ctx.chat().choice, "message")
    return verdict(isinstance(found, dict), saw=f"message is {kind(found)}")


@check(
    "chat.message.role", "The message is the assistant's", BREAKS, quick=True, rows=("n07_role_missing",),
    expects='message.role is "assistant"', source="spec, required; measured n07: LangChain and pydantic-ai raise",
)  # fmt: skip
def role(ctx: Context) -> Finding:
    found = dig(_message(ctx.chat()), "role")
    return verdict(found == "assistant", saw=f"role is {short(repr(found), 40)}")


@check(
    "chat.message.content", "The message is text", BREAKS, quick=True, rows=("n08_content_parts",),
    expects="message.content is a string or null, no list of parts",
    source="spec, required; measured n08; vercel/ai#17779",
)  # fmt: skip
def content(ctx: Context) -> Finding:
    message = _message(ctx.chat())
    found = dig(message, "content")
    if found is MISSING and any(message.get(name) for name in ("tool_calls", *THOUGHTS)):
        return ok("no content, for the message holds something else")
    if found is None and not any(message.get(name) for name in ("tool_calls", "refusal", *THOUGHTS)):
        said = ctx.chat().usage.get("completion_tokens")
        return verdict(said in (0, 1, None), saw=f"content is null, though {said} tokens were made")
    return verdict(found is None or isinstance(found, str), saw=f"content is {kind(found)}")


@check(
    "chat.message.refusal", "The message has a refusal key", COSMETIC,
    expects="message.refusal is there, as null or a string", source="spec ChatCompletionResponseMessage, required",
)  # fmt: skip
def refusal(ctx: Context) -> Finding:
    found = dig(_message(ctx.chat()), "refusal")
    return verdict(found is None or isinstance(found, str), saw=f"refusal is {kind(found)}")


@check(
    "chat.message.tool_calls", "No tool calls where there are no tools", BREAKS,
    expects="tool_calls is absent, null or empty, and there is no function_call", source="spec",
)  # fmt: skip
def no_tool_calls(ctx: Context) -> Finding:
    message = _message(ctx.chat())
    calls, legacy = message.get("tool_calls"), message.get("function_call")
    return verdict(not calls and not legacy, saw=f"tool_calls {short(calls, 60)}, function_call {short(legacy, 40)}")


@check(
    "chat.message.annotations", "Optional parts of a message have their types", COSMETIC,
    expects="annotations is a list or absent; audio is an object, null or absent",
    source="spec ChatCompletionResponseMessage",
)  # fmt: skip
def optional_parts(ctx: Context) -> Finding:
    message = _message(ctx.chat())
    notes, audio = message.get("annotations"), message.get("audio")
    holds = (notes is None or isinstance(notes, list)) and (audio is None or isinstance(audio, dict))
    return verdict(holds, saw=f"annotations {kind(notes)}, audio {kind(audio)}")


@check(
    "chat.choice.logprobs", "No logprobs unless asked for", COSMETIC,
    expects="logprobs is null or absent", source="spec: logprobs defaults to false",
)  # fmt: skip
def no_logprobs(ctx: Context) -> Finding:
    found = dig(ctx.chat().choice, "logprobs")
    return verdict(not found, saw=f"logprobs is {kind(found)}")


@check(
    "chat.usage.present", "The answer counts its tokens", BREAKS, quick=True,
    rows=("n05_no_usage", "n05b_usage_null", "n05c_usage_partial"),
    expects="usage has prompt_tokens, completion_tokens and total_tokens, whole numbers",
    source="spec CompletionUsage; measured n05, n05b, n05c",
)  # fmt: skip
def usage_present(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "usage")
    if not isinstance(found, dict):
        return fail(f"usage is {kind(found)}", rows=("n05b_usage_null" if found is None else "n05_no_usage",))
    wrong = [f"{name} is {kind(found.get(name, MISSING))}" for name in COUNTS if not is_count(found.get(name))]
    return verdict(not wrong, saw=", ".join(wrong) or short(found), rows=("n05c_usage_partial",))


@check(
    "chat.usage.total", "The token counts add up", FEATURE, quick=True,
    expects="total_tokens is prompt_tokens + completion_tokens", source="spec CompletionUsage",
)  # fmt: skip
def usage_total(ctx: Context) -> Finding:
    prompt, completion, total = (ctx.chat().tokens(name) for name in ("prompt", "completion", "total"))
    return verdict(prompt + completion == total, saw=f"{prompt} + {completion}, total {total}")


@check(
    "chat.usage.plausible", "The token counts can be true", FEATURE,
    expects="prompt_tokens is at least 1, and completion_tokens no more than max_tokens",
    source="spec CompletionUsage",
)  # fmt: skip
def usage_plausible(ctx: Context) -> Finding:
    answer = ctx.chat()
    prompt, completion = answer.tokens("prompt"), answer.tokens("completion")
    spoke = bool(answer.text)
    holds = prompt >= 1 and completion >= spoke
    return verdict(
        holds, saw=f"prompt_tokens {prompt}, completion_tokens {completion} for {len(answer.text)} characters"
    )


@check(
    "chat.usage.grows", "A longer prompt counts more tokens", FEATURE, requests=1, tokens=8, needs=("usage",),
    expects="prompt_tokens is larger for a longer message", source="spec CompletionUsage",
)  # fmt: skip
def usage_grows(ctx: Context) -> Finding:
    short_, long = ctx.chat(), ctx.chat("Count from one to twenty in words. " * 8)
    long.accepted(refusal="fail")
    before, after = short_.tokens("prompt"), long.tokens("prompt")
    return verdict(after > before, saw=f"{before} tokens, and {after} for a message eight times as long")


@check(
    "chat.usage.details", "The details of the token counts have their types", COSMETIC,
    expects="prompt_tokens_details and completion_tokens_details are objects of whole numbers, or null",
    source="spec CompletionUsage",
)  # fmt: skip
def usage_details(ctx: Context) -> Finding:
    usage = ctx.chat().usage
    wrong = []
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        found = usage.get(name)
        if found is not None and not isinstance(found, dict):
            wrong.append(f"{name} is {kind(found)}")
        wrong += [
            f"{name}.{key} is {kind(value)}" for key, value in as_dict(found).items() if not _count_or_null(value)
        ]
    if "reasoning_tokens" in as_dict(usage.get("prompt_tokens_details")):
        wrong.append("reasoning_tokens stands among the prompt's details")
    return verdict(not wrong, saw=", ".join(wrong) or short(usage))


@check(
    "chat.usage.repeatable", "The same request counts the same prompt tokens", FEATURE, requests=1, tokens=8,
    expects="prompt_tokens is equal for equal requests", source="spec CompletionUsage",
)  # fmt: skip
def usage_repeatable(ctx: Context) -> Finding:
    first, second = (ctx.chat(again=again).tokens("prompt") for again in (0, 2))
    return verdict(first == second, saw=f"{first}, then {second}")


@check(
    "chat.own", "An answer is to its own question", BREAKS, requests=5, tokens=120, alone=True,
    expects="the first answer to a new question is not the last one to the old question",
    source="caches and queues that hand out the answer before",
)  # fmt: skip
def own(ctx: Context) -> Finding:
    old, new = "Name ten animals of the forest.", "Write the numbers from fifty down to thirty."
    turns = ((old, 11), (old, 12), (new, 11), (new, 12), (new, 13))
    texts = [ctx.chat(question, tokens=24, again=again).text for question, again in turns]
    if not all(texts) or texts[4] != texts[3] or texts[1] == texts[4]:
        return inconclusive("the answers leave nothing to tell them apart by")
    late = texts[2] == texts[1] != texts[3]
    return verdict(not late, saw=f"{short(texts[2], 50)!r}, then {short(texts[3], 50)!r} to the same question")


@check(
    "chat.metadata", "metadata, where there is one, is a map of strings", COSMETIC,
    expects="metadata is absent, null or an object of strings",
    source="spec Metadata; SGLang 0.5.23's weight_versions fails openai-python's strict validation (measured)",
)  # fmt: skip
def metadata(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "metadata")
    wrong = [f"metadata.{key} is {kind(value)}" for key, value in as_dict(found).items() if not isinstance(value, str)]
    if found is not MISSING and found is not None and not isinstance(found, dict):
        wrong.append(f"metadata is {kind(found)}")
    return verdict(not wrong, saw=", ".join(wrong) or f"metadata is {kind(found)}")


@check(
    "chat.fingerprint", "system_fingerprint and service_tier have their types", COSMETIC,
    expects="both are strings, null or absent", source="spec CreateChatCompletionResponse",
)  # fmt: skip
def fingerprint(ctx: Context) -> Finding:
    found = {name: dig(ctx.chat().data, name) for name in ("system_fingerprint", "service_tier")}
    wrong = [f"{name} is {kind(value)}" for name, value in found.items() if value and not isinstance(value, str)]
    return verdict(not wrong, saw=", ".join(wrong) or "both as they should be")


@check(
    "chat.finish_reasons", "No answer of the whole run ends for an unknown reason", FEATURE, last=True,
    rows=("n10_fin_eos", "s33_finish_eos"),
    expects=f"every finish_reason is one of {', '.join(FINISHES)}",
    source="spec; measured n10, s33; SGLang's type adds abort",
)  # fmt: skip
def finish_reasons(ctx: Context) -> Finding:
    plain = [Answer(made) for made in ctx.session.seen if made.status == 200 and made.body.startswith(b"{")]
    seen = {
        str(dig(choice, "finish_reason"))
        for answer in plain
        if dig(answer.data, "object") == "chat.completion"
        for choice in as_list(dig(answer.data, "choices"))
    } - {"absent", "None"}
    strange = sorted(seen - set(FINISHES))
    return verdict(not strange, saw=f"seen: {', '.join(sorted(seen)) or 'none'}")


def _message(answer: Answer) -> dict[str, object]:
    """The message; where there is none, another check says so."""
    if not answer.message:
        from llmserve.probe.check import Ended

        raise Ended(inconclusive("there is no message to look at (see chat.choice.message)"))
    return answer.message


def _count_or_null(value: object) -> bool:
    return value is None or is_count(value) or isinstance(value, dict)
