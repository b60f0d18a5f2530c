"""The shape of a chat completion, judged on one short answer."""

from __future__ import annotations

from llmserve.probe.check import BREAKS, Finding, fail, in_area, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import dig, kind, short

check = in_area("chat", needs=("chat",))

FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")
DAY_S = 86_400


@check(
    "chat.answers", "A plain chat request is answered", BREAKS, needs=("model",), quick=True,
    expects="200 and a JSON object with at least one choice", source="spec CreateChatCompletionResponse",
    rows=("n06_no_choices", "n06b_choices_null", "n06c_choices_empty", "n12b_200_error", "n12_html", "n12c_sse"),
)  # fmt: skip
def answers(ctx: Context) -> Finding:
    answer = ctx.chat()
    data = answer.accepted(refusal="fail")
    if answer.choices:
        return ok(f"200 with {len(answer.choices)} choice")
    if data.get("error"):
        return fail(f"200 with an error inside: {answer.said}", rows=("n12b_200_error",))
    return fail(f"200 with choices {kind(dig(data, 'choices'))}", rows=("n06_no_choices",))


@check(
    "chat.id", "The answer has an id", BREAKS, quick=True,
    expects="id is a string that is not empty", source="spec, required; measured n01", rows=("n01_no_id",),
)  # fmt: skip
def has_id(ctx: Context) -> Finding:
    found = dig(ctx.chat().data, "id")
    return verdict(isinstance(found, str) and bool(found), saw=f"id is {short(repr(found), 60)}")
