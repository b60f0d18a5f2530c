"""Text completions: what lm-eval, editors and base models use."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Finding, fail, ignored, in_area, inconclusive, ok, verdict
from llmserve.probe.checks.models import NOBODY
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, is_count, short
from llmserve.probe.needs import need, route_missing
from llmserve.probe.refusal import must_refuse, never_500, optional
from llmserve.probe.shape import misfit

check = in_area("completions", needs=("completions",))

FINISHES = frozenset({"stop", "length", "content_filter"})
USAGE = {"prompt_tokens": "count", "completion_tokens": "count", "total_tokens": "count"}
ANSWER = {
    "id": "text", "object": frozenset({"text_completion"}), "created": "count", "model": "text",
    "choices": [{"index": "count", "text": "string", "finish_reason": FINISHES, "logprobs?": ("null", "object")}],
    "usage": USAGE, "system_fingerprint?": ("string", "null"),
}  # fmt: skip


@need("completions", needs=("model",), requests=1)
def completions(ctx: Context) -> Finding | None:
    """There are text completions."""
    return route_missing(ctx.completion(), "text completions")


@need("completions_usage", needs=("completions",))
def completions_usage(ctx: Context) -> Finding | None:
    if is_count(ctx.completion().usage.get("prompt_tokens")):
        return None
    return inconclusive("answers have no usage.prompt_tokens to judge by (see completions.shape)")


@check(
    "completions.answers", "A plain prompt is completed", FEATURE, needs=("model",),
    expects="200, or a clean refusal where there are none", source="spec CreateCompletionResponse",
)  # fmt: skip
def answers(ctx: Context) -> Finding:
    answer = ctx.completion()
    return optional(answer) or verdict(bool(answer.choices), saw=f"200 with {len(answer.choices)} choices")


@check(
    "completions.shape", "The answer has every required field", FEATURE,
    expects="id, object text_completion, created, model, choices, usage", source="spec CreateCompletionResponse",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    wrong = misfit(ctx.completion().data, ANSWER)
    return verdict(not wrong, saw=wrong or "all of them")


@check(
    "completions.usage", "Usage adds up", FEATURE, needs=("completions", "completions_usage"),
    expects="total is prompt + completion, completion no more than max_tokens", source="spec CompletionUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    answer = ctx.completion()
    prompt, said, total = (answer.tokens(name) for name in ("prompt", "completion", "total"))
    return verdict(prompt + said == total and 0 < said <= 8, saw=f"{prompt} + {said} = {total}")


@check(
    "completions.limit", "max_tokens bounds the answer", FEATURE, requests=1, tokens=1,
    needs=("completions", "completions_usage"), expects="one token, finish_reason 'length'", source="spec",
)  # fmt: skip
def limit(ctx: Context) -> Finding:
    answer = ctx.completion(tokens=1)
    answer.accepted(refusal="fail")
    said = answer.tokens("completion")
    if said == 0 and answer.finish == "stop":
        return inconclusive("the model ended at once")
    return verdict(said == 1 and answer.finish == "length", saw=f"{said} tokens, finish_reason {answer.finish!r}")


@check(
    "completions.default_limit", "Without max_tokens at most 16 are said", COSMETIC, requests=1, tokens=16,
    needs=("completions", "completions_usage"), expects="no more than 16 tokens", source="spec: default 16",
)  # fmt: skip
def default_limit(ctx: Context) -> Finding:
    answer = ctx.completion(tokens=None)
    answer.accepted(refusal="fail")
    return verdict(answer.tokens("completion") <= 16, saw=f"{answer.tokens('completion')} tokens")


@check(
    "completions.prompts", "Several prompts bring several choices", FEATURE, requests=3, tokens=12,
    needs=("completions", "completions_usage"), expects="indexes 0 and 1, prompt tokens summed", source="ollama#5259",
)  # fmt: skip
def prompts(ctx: Context) -> Finding:
    both = ctx.completion(["Once upon", "The sea is wide"], tokens=4)
    both.accepted()
    alone = [ctx.completion(one, tokens=4) for one in ("Once upon", "The sea is wide")]
    indexes = [as_dict(choice).get("index") for choice in both.choices]
    counts = both.tokens("prompt"), sum(one.tokens("prompt") for one in alone)
    right = indexes == [0, 1] and counts[0] == counts[1]
    return verdict(right, saw=f"indexes {indexes}; prompt tokens {counts[0]}, alone {counts[1]} in sum")


@check(
    "completions.prompts_order", "Each choice belongs to its prompt", FEATURE, requests=3, tokens=12,
    needs=("completions", "completions_greedy"), expects="the same texts as one by one", source="consistency",
)  # fmt: skip
def prompts_order(ctx: Context) -> Finding:
    both = ctx.completion(["Once upon", "The sea is wide"], tokens=4)
    both.accepted()
    found = {as_dict(choice).get("index"): as_dict(choice).get("text") for choice in both.choices}
    alone = [ctx.completion(one, tokens=4).text for one in ("Once upon", "The sea is wide")]
    if found.get(0) == alone[0] and found.get(1) == alone[1]:
        return ok("they do")
    if found.get(0) == alone[1] and found.get(1) == alone[0] and alone[0] != alone[1]:
        return fail("the two texts have changed places")
    return inconclusive("in a batch other text comes than alone: numerics of batches")


@need("completions_greedy", needs=("completions",), requests=1)
def completions_greedy(ctx: Context) -> Finding | None:
    first, second = ctx.completion(), ctx.completion(again=1)
    return None if first.text and first.text == second.text else inconclusive("two greedy completions differ")


@check(
    "completions.token_ids", "A prompt may be token ids", FEATURE, requests=1, tokens=1,
    needs=("completions", "completions_usage"), expects="200, prompt_tokens 4", source="spec; sglang#736",
)  # fmt: skip
def token_ids(ctx: Context) -> Finding:
    return _counted(ctx, [10, 11, 12, 13], 1, 4)


@check(
    "completions.token_lists", "Prompts may be lists of token ids", FEATURE, requests=1, tokens=2,
    needs=("completions", "completions_usage"), expects="two choices, prompt_tokens 3", source="spec",
)  # fmt: skip
def token_lists(ctx: Context) -> Finding:
    return _counted(ctx, [[10, 11], [12]], 2, 3)


def _counted(ctx: Context, prompt: Any, choices: int, tokens: int) -> Finding:
    answer = ctx.completion(prompt, tokens=1)
    answer.accepted()
    seen = len(answer.choices), answer.tokens("prompt")
    return verdict(seen == (choices, tokens), saw=f"{seen[0]} choices, {seen[1]} prompt tokens")


@check(
    "completions.echo", "echo repeats the prompt", FEATURE, requests=1, tokens=4,
    expects="the text begins with the prompt", source="spec echo",
)  # fmt: skip
def echo(ctx: Context) -> Finding:
    answer = ctx.completion("Once upon a time", tokens=4, echo=True)
    answer.accepted()
    if answer.text.lstrip().startswith("Once upon a time"):
        return ok(f"text {short(answer.text, 50)!r}")
    return ignored(f"text {short(answer.text, 50)!r}")


@check(
    "completions.stop", "A stop sequence ends the text", FEATURE, requests=2, tokens=24,
    needs=("completions", "completions_greedy"), expects="the greedy text up to the sequence, finish_reason 'stop'",
    source="spec StopConfiguration",
)  # fmt: skip
def stop(ctx: Context) -> Finding:
    whole = ctx.completion(tokens=12).text
    word = whole[len(whole) // 2 :][:3]
    if len(word) < 3:
        return inconclusive("the greedy text is too short")
    answer = ctx.completion(tokens=12, stop=[word])
    answer.accepted()
    expected = whole[: whole.index(word)]
    if answer.text == whole:
        return ignored(f"stop {word!r} has no effect")
    return verdict(
        answer.text == expected and answer.finish == "stop", saw=f"{short(answer.text, 50)!r}, {answer.finish!r}"
    )


@check(
    "completions.n", "n brings several choices", COSMETIC, requests=1, tokens=8,
    expects="two choices, indexes 0 and 1", source="spec n; ATOM#618",
)  # fmt: skip
def several(ctx: Context) -> Finding:
    answer = ctx.completion(tokens=4, n=2, temperature=1)
    if finding := optional(answer):
        return finding
    indexes = [as_dict(choice).get("index") for choice in answer.choices]
    return ok("two") if indexes == [0, 1] else ignored(f"n=2 brings choices {indexes}")


@check(
    "completions.best_of", "best_of is taken, or refused cleanly", COSMETIC, requests=1, tokens=8,
    expects="one choice, or 4xx in the envelope", source="spec best_of",
)  # fmt: skip
def best_of(ctx: Context) -> Finding:
    answer = ctx.completion(tokens=4, best_of=2, temperature=1)
    return optional(answer) or verdict(len(answer.choices) == 1, saw=f"{len(answer.choices)} choices")


@check(
    "completions.suffix", "suffix is used, or refused cleanly", COSMETIC, requests=1, tokens=8,
    needs=("completions", "completions_greedy"), expects="another text than without, or 4xx in the envelope",
    source="spec suffix",
)  # fmt: skip
def suffix(ctx: Context) -> Finding:
    answer = ctx.completion(suffix=" and they lived happily ever after in a small house.")
    if finding := optional(answer):
        return finding
    if answer.text == ctx.completion().text:
        return ignored("200, and the same text as without a suffix")
    return ok("the text is another one")


@check(
    "completions.seed", "A seed makes sampling repeatable", FEATURE, requests=3, tokens=36,
    expects="the same text for the same seed, another for another", source="spec seed",
)  # fmt: skip
def seed(ctx: Context) -> Finding:
    one, same, other = (
        ctx.completion(tokens=12, temperature=1, seed=number, again=again) for number, again in ((7, 0), (7, 1), (8, 0))
    )
    one.accepted()
    if one.text != same.text:
        return ignored("two texts with seed 7 differ")
    return inconclusive("seeds 7 and 8 bring one text") if one.text == other.text else ok("it does")


@check(
    "completions.unknown_model", "An unknown model is refused", FEATURE, requests=1, tokens=1,
    expects="404 in the envelope", source="spec; another model's text under a wrong name",
)  # fmt: skip
def unknown_model(ctx: Context) -> Finding:
    return must_refuse(ctx.completion(tokens=1, model=NOBODY), "an unknown model")


@check(
    "completions.logit_bias", "logit_bias decides the token", FEATURE, requests=2, tokens=6,
    expects="+100 on one token id brings another text than +100 on another", source="spec; as in chat",
)  # fmt: skip
def logit_bias(ctx: Context) -> Finding:
    answers = [ctx.completion(tokens=3, logit_bias={token: 100}) for token in ("100", "200")]
    for answer in answers:
        answer.accepted()
    texts = [answer.text for answer in answers]
    if texts[0] != texts[1]:
        return ok(f"{short(texts[0], 40)!r} and {short(texts[1], 40)!r}")
    return ignored(f"both times {short(texts[0], 40)!r}")


@check(
    "completions.top_p", "A tiny top_p leaves the likeliest token", FEATURE, requests=2, tokens=16, alone=True,
    needs=("completions", "completions_greedy"), expects="the greedy text at temperature 1.5 and top_p 1e-6",
    source="spec: nucleus",
)  # fmt: skip
def top_p(ctx: Context) -> Finding:
    plain = ctx.completion().text
    answers = [ctx.completion(temperature=1.5, top_p=1e-6, again=again) for again in range(2)]
    for answer in answers:
        answer.accepted()
    if all(answer.text == plain for answer in answers):
        return ok("it does")
    if answers[0].text == answers[1].text:
        return inconclusive("another text than the greedy one, but the same twice: a tie of likeliest tokens")
    return ignored(f"{short(answers[0].text, 40)!r}, then {short(answers[1].text, 40)!r}")


@check(
    "completions.empty", "An empty prompt does not crash it", COSMETIC, requests=2, tokens=1,
    expects="200 or 4xx in the envelope", source="vLLM test_empty_prompt_list",
)  # fmt: skip
def empty(ctx: Context) -> Finding:
    prompts: tuple[object, ...] = ("", [])
    for prompt in prompts:
        finding = never_500(ctx.completion(prompt, tokens=1), f"prompt {prompt!r}")
        if finding.verdict != "pass":
            return finding
    return ok("both")


@check(
    "completions.no_prompt", "Without a prompt it is refused", COSMETIC, requests=1,
    expects="400 in the envelope", source="spec: prompt is required",
)  # fmt: skip
def no_prompt(ctx: Context) -> Finding:
    return must_refuse(ctx.post("/completions", {"model": ctx.model, "max_tokens": 1}), "a completion without prompt")


@check(
    "completions.stream", "Completions stream", FEATURE, requests=1, tokens=8,
    expects="text_completion chunks that join to a text, [DONE]", source="spec; ogx#6541",
)  # fmt: skip
def stream(ctx: Context) -> Finding:
    answer = ctx.completion_stream(stream_options={"include_usage": True})
    for chunk in answer.streamed():
        if wrong := misfit(chunk.data, CHUNK, "chunk"):
            return fail(wrong)
    ends, right = answer.finishes(), answer.done == 1
    return verdict(right and len(ends) == 1, saw=f"{len(answer.chunks)} chunks, finish {ends}, {answer.done} [DONE]")


CHUNK = {
    "id": "text", "object": frozenset({"text_completion"}), "created": "count", "model": "text",
    "choices": [{"index": "count", "text": "string", "finish_reason?": (FINISHES, "null")}], "usage?": (USAGE, "null"),
}  # fmt: skip


@check(
    "completions.stream_usage", "The usage chunk comes, with no choices", FEATURE, requests=1, tokens=8,
    expects="one last chunk with choices [] and the numbers of the whole answer", source="ogx#6541",
)  # fmt: skip
def stream_usage(ctx: Context) -> Finding:
    answer = ctx.completion_stream(stream_options={"include_usage": True})
    answer.streamed()
    if not answer.usages:
        return ignored("include_usage brings no usage")
    last = as_dict(answer.usages[-1].data)
    whole = {name: ctx.completion().usage.get(name) for name in USAGE}
    same = {name: answer.usage.get(name) for name in USAGE} == whole
    right = len(answer.usages) == 1 and not as_list(last.get("choices")) and same
    return verdict(right, saw=f"{len(answer.usages)} chunks with usage; {short(repr(answer.usage), 80)}, whole {whole}")


@check(
    "completions.stream_same", "Streamed and whole, the text is the same", FEATURE, requests=1, tokens=8,
    needs=("completions", "completions_greedy"), expects="the same text", source="consistency",
)  # fmt: skip
def stream_same(ctx: Context) -> Finding:
    answer: Answer = ctx.completion_stream(stream_options={"include_usage": True})
    whole = ctx.completion()
    return verdict(
        answer.text == whole.text, saw=f"streamed {short(answer.text, 40)!r}, whole {short(whole.text, 40)!r}"
    )
