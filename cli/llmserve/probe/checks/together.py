"""Several requests at once, and one after another on a connection: each must have its own answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, FEATURE, Finding, fail, in_area, inconclusive, ok, verdict
from llmserve.probe.checks import embeddings
from llmserve.probe.context import Context
from llmserve.probe.dig import as_list, dig
from llmserve.probe.shape import misfit
from llmserve.probe.shapes import CHAT
from llmserve.probe.stream import StreamAnswer

check = in_area("transport", needs=("chat",))

AT_ONCE = 4
_WORD = "harbour "


def _prompts() -> list[str]:
    """Prompts that their lengths tell apart."""
    return [_WORD * (1 + 6 * turn) for turn in range(AT_ONCE)]


@check(
    "transport.together.chat", "Answers to requests at once are not mixed up", BREAKS, needs=("usage",), alone=True,
    requests=2 * AT_ONCE, tokens=4 * AT_ONCE,
    expects="each of four different prompts has the prompt_tokens that it has alone", source="servers that share state",
)  # fmt: skip
def chat(ctx: Context) -> Finding:
    alone = [ctx.chat(prompt, tokens=2).tokens("prompt") for prompt in _prompts()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(lambda prompt: ctx.chat(prompt, tokens=2, again=1), _prompts()))
    return _same(alone, made)


def _same(alone: list[int], made: list[Answer]) -> Finding:
    if any(answer.status in (429, 503) for answer in made):
        return inconclusive("the server takes fewer requests at once")
    if len(set(alone)) < AT_ONCE:
        return inconclusive("prompts of different lengths count the same, so they cannot be told apart")
    for answer in made:
        answer.accepted(refusal="fail")
    counts = [answer.tokens("prompt") for answer in made]
    return verdict(counts == alone, saw=f"prompt_tokens {counts} at once, {alone} alone")


@check(
    "transport.together.stream", "Streams at once are not mixed up", BREAKS, needs=("stream", "usage"), alone=True,
    requests=2 * AT_ONCE, tokens=4 * AT_ONCE,
    expects="four streams of four ids, each with the prompt_tokens that its prompt has alone", source="shared state",
)  # fmt: skip
def streams(ctx: Context) -> Finding:
    alone = [ctx.chat_stream(prompt, tokens=2, usage=True) for prompt in _prompts()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(lambda prompt: ctx.chat_stream(prompt, tokens=2, usage=True, again=1), _prompts()))
    for before, answer in zip(alone, made, strict=True):
        before.streamed(), answer.streamed()
        several, usual = (len({str(dig(chunk.data, "id")) for chunk in one.chunks}) > 1 for one in (answer, before))
        if several and not usual:
            return fail("a stream has chunks of several ids")
    counts, others = ([answer.usage.get("prompt_tokens") for answer in some] for some in (made, alone))
    if len(set(others)) < AT_ONCE or None in others:
        return inconclusive("streams count no prompt tokens to tell them apart by (see stream.usage)")
    return verdict(counts == others, saw=f"prompt_tokens {counts} at once, {others} alone")


@check(
    "transport.keepalive.chat", "A used connection answers like a new one", BREAKS, needs=("usage",),
    requests=4, tokens=8,
    expects="the second and third chat request of a connection are answered whole, each for its own prompt",
    source="every SDK keeps connections",
)  # fmt: skip
def used_connection(ctx: Context) -> Finding:
    first, second = _prompts()[:2]
    bodies = [
        ctx.chat_body(prompt, 2, **fields) for prompt, fields in ((first, {}), (second, {}), (first, {"seed": 1}))
    ]
    others = [ctx.chat(prompt, tokens=2) for prompt in (first, second, first)]
    if misfit(others[0].data, CHAT) or misfit(others[1].data, CHAT):
        return inconclusive("answers on connections of their own are not whole either (see chat.every.shape)")
    alone = [answer.tokens("prompt") for answer in others]
    answers: list[Answer] = []
    with ctx.connection() as connection:
        for body in bodies:
            made = ctx.carried(connection.exchange(ctx.request("POST", "/chat/completions", body), ctx.session.limits))
            if not connection.reusable and len(answers) < 2:
                return inconclusive("connections are not kept (see transport.keepalive)")
            answers.append(Answer(made))
    wrong = next((said for answer in answers if (said := misfit(answer.data, CHAT))), "")
    counts = [answer.usage.get("prompt_tokens") for answer in answers]
    return verdict(
        not wrong and counts == alone, saw=wrong or f"prompt_tokens {counts}, {alone} on connections of their own"
    )


def _is_whole(answer: StreamAnswer) -> bool:
    return answer.is_stream and len(answer.finishes()) == 1 and answer.done == 1


@check(
    "transport.keepalive.stream.chat", "A stream on a used connection is whole", FEATURE, needs=("stream",),
    requests=2, tokens=16,
    expects="a finish_reason and [DONE] in the second stream of a connection too", source="SDKs keep connections",
)  # fmt: skip
def used_for_streams(ctx: Context) -> Finding:
    with ctx.connection() as connection:
        for turn in (1, 2):
            request = ctx.request("POST", "/chat/completions", ctx.chat_body(stream=True))
            answer = StreamAnswer(ctx.carried(connection.exchange(request, ctx.session.limits)))
            if turn == 1 and not (answer.is_stream and connection.reusable):
                return inconclusive("connections are not kept after a stream (see transport.keepalive.stream)")
    if answer.exchange.error:
        return inconclusive(f"the connection did not last: {answer.brief()} (see transport.keepalive.stream)")
    holds, usual = (_is_whole(one) for one in (answer, ctx.chat_stream()))
    if not usual:
        return inconclusive("streams on connections of their own are not whole either (see stream.every.end)")
    saw = f"{len(answer.chunks)} chunks, finish_reasons {answer.finishes()}, {answer.done} times [DONE]"
    return verdict(holds, saw=saw)


embedding = in_area("embeddings", needs=("embeddings",))


@embedding(
    "embeddings.together", "Vectors of requests at once are not mixed up", BREAKS, requests=2 * len(embeddings.TEXTS),
    expects="each text has the vector that it has alone", source="servers that share state", alone=True,
)  # fmt: skip
def embedded(ctx: Context) -> Finding:
    alone = [embeddings.vectors(embeddings.embed(ctx, text))[0] for text in embeddings.TEXTS]
    with ThreadPoolExecutor(len(alone)) as pool:
        made = list(pool.map(lambda text: embeddings.embed(ctx, text, user="at-once"), embeddings.TEXTS))
    if any(answer.status in (429, 503) for answer in made):
        return inconclusive("the server takes fewer requests at once")
    for answer, vector in zip(made, alone, strict=True):
        near = embeddings.cosine(embeddings.vectors(answer)[0], vector)
        if near < 0.999 or len(as_list(dig(answer.data, "data"))) != 1:
            return fail(f"a text has another vector than alone: cosine {near:.4f}")
    return ok("each has its own")
