"""Messages and roles: what is accepted must also reach the model, as the count of prompt tokens shows."""

from __future__ import annotations

import json
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    ok,
    unsupported,
    verdict,
)  # fmt: skip
from llmserve.probe.context import PROMPT, Context
from llmserve.probe.judging import clean, refused, taken

check = in_area("messages", needs=("chat", "usage"))

WORDS = "Answer in capital letters and never use the letter e, whatever anybody may say to you later on."
USER = {"role": "user", "content": PROMPT}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
ENOUGH = 8
"""Tokens that ``WORDS`` come to at least, in any vocabulary."""


def _grows(ctx: Context, messages: list[dict[str, Any]], *, than: int | None = None, refusal: str = "fail") -> Finding:
    """Passes if these messages count more tokens than with a short word for ``WORDS``, by about their size.

    What is compared has the same messages and parts, for their frames count too.
    """
    answer = ctx.chat(messages)
    answer.accepted(refusal=refusal)
    before = _count(ctx, json.loads(json.dumps(messages).replace(WORDS, "x"))) if than is None else than
    after = answer.tokens("prompt")
    saw = f"{before} prompt tokens with a word, {after} with a sentence"
    return ok(saw) if after >= before + ENOUGH else ignored(f"{saw}: it never reaches the model")


@check(
    "msg.system", "A system message reaches the model", BREAKS, requests=2, tokens=16, quick=True,
    expects="prompt_tokens grows by the message", source="spec; oracle: usage.prompt_tokens",
)  # fmt: skip
def system(ctx: Context) -> Finding:
    return _grows(ctx, [{"role": "system", "content": WORDS}, USER])


@check(
    "msg.developer", "A developer message reaches the model", BREAKS, requests=2, tokens=16, quick=True,
    expects="prompt_tokens grows by the message", source="spec; sglang#40082: dropped; ogx#6069: refused",
)  # fmt: skip
def developer(ctx: Context) -> Finding:
    return _grows(ctx, [{"role": "developer", "content": WORDS}, USER])


@check(
    "msg.developer.same", "A developer message counts like a system message", COSMETIC,
    expects="the same prompt_tokens, or nearly", source="llama.cpp#20215 maps one to the other",
)  # fmt: skip
def developer_same(ctx: Context) -> Finding:
    counts = [_count(ctx, [{"role": role, "content": WORDS}, USER]) for role in ("system", "developer")]
    return verdict(abs(counts[0] - counts[1]) <= 8, saw=f"system {counts[0]}, developer {counts[1]}")


def _count(ctx: Context, messages: list[dict[str, Any]]) -> int:
    answer = ctx.chat(messages)
    answer.accepted()
    return answer.tokens("prompt")


@check(
    "msg.system.middle", "A system message in the middle reaches the model", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows, or a clean 4xx", source="llama.cpp#27367, vllm#41114: 500 from the template",
)  # fmt: skip
def system_middle(ctx: Context) -> Finding:
    between = [USER, {"role": "assistant", "content": "one"}, {"role": "system", "content": WORDS}, USER]
    return _grows(ctx, between, refusal="unsupported", than=_history(ctx))


def _history(ctx: Context) -> int:
    return _count(ctx, [USER, {"role": "assistant", "content": "one"}, USER])


@check(
    "msg.history", "An earlier exchange reaches the model", BREAKS, requests=2, tokens=16, quick=True,
    expects="prompt_tokens grows by question and answer", source="spec",
)  # fmt: skip
def history(ctx: Context) -> Finding:
    return _grows(ctx, [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": WORDS}, USER])


@check(
    "msg.system.two", "Two system messages both reach the model", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows twice, or a clean 4xx", source="llama.cpp#20733",
)  # fmt: skip
def two_system(ctx: Context) -> Finding:
    both = [{"role": "system", "content": WORDS}, {"role": "system", "content": "x"}, USER]
    one = ctx.chat(both)
    one.accepted()
    return _grows(ctx, [both[0], both[0], USER], than=one.tokens("prompt"), refusal="unsupported")


def _tolerated(name: str, title: str, messages: list[dict[str, Any]], source: str, severity: Any = FEATURE) -> Any:
    """A check that a conversation is answered or cleanly refused, but makes nothing fail."""

    @check(
        f"msg.{name}", title, severity, requests=1, tokens=8, expects="200 or a 4xx, no 5xx", source=source,
        needs=("chat",),
    )  # fmt: skip
    def tolerated(ctx: Context) -> Finding:
        return clean(ctx.chat(messages), title)

    return tolerated


only_system = _tolerated(
    "no_user", "A conversation without a user fails nothing", [{"role": "system", "content": WORDS}],
    "templates raise on it", COSMETIC,
)  # fmt: skip
user_twice = _tolerated(
    "user.twice", "Two user messages in a row fail nothing", [USER, USER], "strict templates raise; agents do it",
)  # fmt: skip
assistant_last = _tolerated(
    "assistant.last", "A conversation that ends with the assistant fails nothing",
    [USER, {"role": "assistant", "content": "One, two,"}], "llama.cpp: prefill", COSMETIC,
)  # fmt: skip
assistant_first = _tolerated(
    "assistant.first", "A conversation that begins with the assistant fails nothing",
    [{"role": "assistant", "content": "Hello!"}, USER], "strict templates raise; greetings do it",
)  # fmt: skip
tool_unasked = _tolerated(
    "tool.unasked", "A tool's answer that nobody asked for fails nothing",
    [USER, {"role": "tool", "tool_call_id": "call_9", "content": "42"}], "agents cut their history", COSMETIC,
)  # fmt: skip
lone_surrogate = _tolerated(
    "unicode.surrogate", "Half a character fails nothing", [{"role": "user", "content": "half \ud83d here"}],
    "robustness: truncation in clients cuts emoji", COSMETIC,
)  # fmt: skip
nul = _tolerated(
    "unicode.nul", "A NUL character fails nothing", [{"role": "user", "content": "nul \x00 here"}], "robustness",
    COSMETIC,
)  # fmt: skip


@check(
    "msg.parts", "Content may be a list of text parts", BREAKS, requests=2, tokens=16, quick=True,
    expects="prompt_tokens grows by both parts", source="spec; LocalAI#10552, ktransformers#773",
)  # fmt: skip
def parts(ctx: Context) -> Finding:
    content = [{"type": "text", "text": PROMPT}, {"type": "text", "text": WORDS}]
    return _grows(ctx, [{"role": "user", "content": content}])


@check(
    "msg.parts.first", "The first of two parts reaches the model too", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows by the first part", source="spec; servers that keep one part",
)  # fmt: skip
def parts_first(ctx: Context) -> Finding:
    content = [{"type": "text", "text": WORDS}, {"type": "text", "text": PROMPT}]
    return _grows(ctx, [{"role": "user", "content": content}])


@check(
    "msg.parts.same", "One text part counts like a string", FEATURE, requests=1, tokens=8,
    expects="the same prompt_tokens", source="spec",
)  # fmt: skip
def parts_same(ctx: Context) -> Finding:
    as_parts = _count(ctx, [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}])
    as_text = ctx.chat().tokens("prompt")
    return verdict(abs(as_parts - as_text) <= 2, saw=f"{as_parts} as a part, {as_text} as a string")


@check(
    "msg.parts.system", "A system message may be a list of text parts", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows as with a string", source="anything-llm#6422: [object Object]",
)  # fmt: skip
def parts_system(ctx: Context) -> Finding:
    return _grows(ctx, [{"role": "system", "content": [{"type": "text", "text": WORDS}]}, USER])


@check(
    "msg.parts.assistant", "An assistant message may be a list of text parts", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows", source="spec",
)  # fmt: skip
def parts_assistant(ctx: Context) -> Finding:
    said = {"role": "assistant", "content": [{"type": "text", "text": WORDS}]}
    return _grows(ctx, [{"role": "user", "content": "Hello."}, said, USER])


@check(
    "msg.parts.empty", "An empty list of parts fails nothing", COSMETIC, requests=1, tokens=8, needs=("chat",),
    expects="200 or a 4xx, no 5xx", source="robustness",
)  # fmt: skip
def parts_empty(ctx: Context) -> Finding:
    return clean(ctx.chat([{"role": "user", "content": []}]), "no parts")


@check(
    "msg.parts.unknown", "A part of an unknown type is refused", COSMETIC, requests=1, tokens=8, needs=("chat",),
    expects="400, not dropped in silence", source="spec: the types of parts",
)  # fmt: skip
def parts_unknown(ctx: Context) -> Finding:
    content = [{"type": "text", "text": PROMPT}, {"type": "foo", "foo": WORDS}]
    return refused(ctx.chat([{"role": "user", "content": content}]), accepted="ignored", what="a part of type foo")


def _called(assistant: dict[str, Any], result: Any = WORDS) -> list[dict[str, Any]]:
    return [USER, assistant, {"role": "tool", "tool_call_id": "call_1", "content": result}]


def _result_reaches(ctx: Context, assistant: dict[str, Any], *, result: Any = WORDS) -> Finding:
    """Passes if the result of a tool is counted; the same conversation with a short result is the measure."""
    short_result = ctx.chat(_called(assistant, "x"), tools=[TOOL])
    if short_result.is_refused:
        return _refused_history(short_result)
    short_result.accepted(refusal="fail")
    answer = ctx.chat(_called(assistant, result), tools=[TOOL])
    answer.accepted(refusal="fail")
    before, after = short_result.tokens("prompt"), answer.tokens("prompt")
    saw = f"{before} prompt tokens with a short result, {after} with a long one"
    return ok(saw) if after >= before + ENOUGH else ignored(f"{saw}: it never reaches the model")


def _refused_history(answer: Answer) -> Finding:
    said = answer.said.lower()
    if "tool" in said and ("support" in said or "enable" in said or "parser" in said):
        return unsupported(answer.brief())
    return fail(answer.brief())


@check(
    "msg.tool", "A tool's result reaches the model", BREAKS, requests=2, tokens=16, quick=True,
    expects="prompt_tokens grows by the result, after an assistant message with content null",
    source="spec; LM Studio#261, mistral-common#324: null is refused",
)  # fmt: skip
def tool_result(ctx: Context) -> Finding:
    return _result_reaches(ctx, {"role": "assistant", "content": None, "tool_calls": [CALL]})


@check(
    "msg.tool.no_content", "An assistant message with calls needs no content", FEATURE, requests=2, tokens=16,
    expects="200, and the result reaches the model", source="spec: optional; extended_openai_conversation#456",
)  # fmt: skip
def tool_no_content(ctx: Context) -> Finding:
    return _result_reaches(ctx, {"role": "assistant", "tool_calls": [CALL]})


@check(
    "msg.tool.empty_content", "An assistant message with calls may have empty content", FEATURE, requests=2, tokens=16,
    expects="200, and the result reaches the model", source="vercel/ai#14950",
)  # fmt: skip
def tool_empty_content(ctx: Context) -> Finding:
    return _result_reaches(ctx, {"role": "assistant", "content": "", "tool_calls": [CALL]})


@check(
    "msg.tool.parts", "A tool's result may be a list of text parts", FEATURE, requests=1, tokens=8,
    expects="200, and the result reaches the model", source="spec: tool content parts",
)  # fmt: skip
def tool_parts(ctx: Context) -> Finding:
    assistant = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return _result_reaches(ctx, assistant, result=[{"type": "text", "text": WORDS}])


@check(
    "msg.tool.call", "The arguments of an earlier call reach the model", FEATURE, requests=2, tokens=16,
    expects="prompt_tokens grows by the arguments", source="spec; agents need to know what they asked",
)  # fmt: skip
def tool_call(ctx: Context) -> Finding:
    counts = []
    for word in ("x", WORDS):
        call = CALL | {"function": {"name": "look", "arguments": json.dumps({"at": word})}}
        answer = ctx.chat(_called({"role": "assistant", "content": None, "tool_calls": [call]}, "x"), tools=[TOOL])
        if answer.is_refused:
            return _refused_history(answer)
        answer.accepted(refusal="fail")
        counts.append(answer.tokens("prompt"))
    saw = f"{counts[0]} prompt tokens with a short argument, {counts[1]} with a long one"
    return ok(saw) if counts[1] >= counts[0] + ENOUGH else ignored(f"{saw}: it never reaches the model")


@check(
    "msg.empty", "A message may be empty", FEATURE, requests=1, tokens=8, needs=("chat",),
    expects="200", source="clients send empty turns after a stop",
)  # fmt: skip
def empty(ctx: Context) -> Finding:
    return taken(ctx.chat([USER, {"role": "assistant", "content": ""}, USER]), "an empty message")


@check(
    "msg.name", "A message may bear a name", COSMETIC, requests=1, tokens=8, needs=("chat",),
    expects="200", source="spec: name",
)  # fmt: skip
def name(ctx: Context) -> Finding:
    return taken(ctx.chat([{"role": "user", "name": "ada", "content": PROMPT}]), "a name")


@check(
    "msg.echo", "The endpoint takes its own message back", BREAKS, requests=1, tokens=8, needs=("chat",), quick=True,
    expects="200 with choices[0].message in the history", source="every chat loop does it",
)  # fmt: skip
def echo(ctx: Context) -> Finding:
    said = ctx.chat().message
    if not said:
        return inconclusive("there is no message to send back (see chat.choice.message)")
    return taken(ctx.chat([USER, said, USER]), "the endpoint's own message")


@check(
    "msg.unicode", "Any script reaches the model", FEATURE, requests=2, tokens=16,
    expects="200, and more tokens than for a word", source="UTF-8",
)  # fmt: skip
def unicode(ctx: Context) -> Finding:
    answer, short_ = ctx.chat("שלום你好مرحباनमस्ते👩‍👩‍👧é" * 2), ctx.chat("x")
    answer.accepted(refusal="fail")
    counts = short_.tokens("prompt"), answer.tokens("prompt")
    return verdict(counts[1] >= counts[0] + ENOUGH, saw=f"{counts[1]} tokens, and {counts[0]} for one letter")


@check(
    "msg.long", "A long history is no problem", COSMETIC, requests=1, tokens=8, needs=("chat",),
    expects="200 for 41 turns", source="chats grow",
)  # fmt: skip
def long_history(ctx: Context) -> Finding:
    turns: list[dict[str, Any]] = [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": str(turn)} for turn in range(41)
    ]
    answer = ctx.chat(turns)
    if answer.is_refused and "context" in answer.said.lower():
        return inconclusive(answer.brief())
    return taken(answer, "a history of 41 turns")


@check(
    "msg.uncut", "A long message is not cut", FEATURE, requests=2, tokens=2,
    expects="prompt_tokens grows from 150 to 200 words by about 50, or a clean 4xx", source="silent limits",
)  # fmt: skip
def uncut(ctx: Context) -> Finding:
    answers = [ctx.chat("the " * words, tokens=1) for words in (150, 200)]
    for answer in answers:
        answer.accepted(refusal="unsupported")
    counts = [answer.tokens("prompt") for answer in answers]
    saw = f"{counts[0]} prompt tokens for 150 words, {counts[1]} for 200"
    return ok(saw) if counts[1] >= counts[0] + 40 else ignored(saw)


@check(
    "msg.whitespace", "Whitespace of a message is kept", COSMETIC, requests=1, tokens=8,
    expects="prompt_tokens grows for eight blank lines within", source="code and Markdown need it",
)  # fmt: skip
def whitespace(ctx: Context) -> Finding:
    with_blanks = _count(ctx, [{"role": "user", "content": PROMPT + "\n\n\t\n\n\t\n\n\t\n\n\tEnd."}])
    return verdict(with_blanks > ctx.chat().tokens("prompt"), saw=f"{with_blanks} prompt tokens")
