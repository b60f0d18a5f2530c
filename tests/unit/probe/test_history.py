"""Looking back: each answer of the run, by route, also of the run that this one goes on from."""

from __future__ import annotations

import json

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe import history, saved
from llmserve.probe.context import Context
from llmserve.probe.exchange import Exchange, Request
from llmserve.probe.report.evidence import of_exchange
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings

ENDPOINT = Endpoint(base_url="http://127.0.0.1:1/v1", api_key="sk-secret-0123456789")
STREAM = b'data: {"id": "a", "choices": []}\n\ndata: [DONE]\n\n'


def made(route: str, asked: dict[str, object], body: bytes, *, status: int = 200, kind: str = "") -> Exchange:
    request = Request(method="POST", target=f"/v1{route}", body=json.dumps(asked).encode())
    headers = (("Content-Type", kind or "application/json"),)
    return Exchange(request=request, status=status, headers=headers, body=body)


EVERYTHING = (
    made("/chat/completions", {"n": 1}, b'{"id": "x"}'),
    made("/chat/completions", {"n": 2}, b'{"error": {"message": "no"}}'),
    made("/chat/completions", {"n": 3}, b"[1]"),
    made("/chat/completions", {"n": 4}, b'{"id": "y"}', status=400),
    made("/chat/completions", {"stream": True}, STREAM, kind="text/event-stream"),
    made("/completions", {"n": 5}, b'{"id": "z"}'),
)


def context(*seen: Exchange) -> Context:
    session = Session(ENDPOINT, Settings())
    session.exchanges.extend(seen)
    return Context(session)


def test_whole_answers_are_those_of_the_route_that_succeeded() -> None:
    found = list(history.whole(context(*EVERYTHING), "/chat/completions"))
    assert [(seen.answer.data, seen.asked) for seen in found] == [({"id": "x"}, {"n": 1})]


def test_streams_are_read_as_streams_and_once() -> None:
    ctx = context(*EVERYTHING)
    first, second = (next(history.streamed(ctx, "/chat/completions")) for _ in range(2))
    assert [chunk.data["id"] for chunk in first.answer.chunks] == ["a"]
    assert first.answer is second.answer


def test_the_first_that_is_wrong_is_quoted_and_evidence() -> None:
    ctx = context(*EVERYTHING)
    finding = history.first_wrong(ctx, history.whole(ctx, "/completions"), lambda seen: seen.answer.data["id"])
    assert (finding.verdict, finding.saw) == ("fail", "1 of 1; the first: z")
    assert ctx.touched == [EVERYTHING[-1]]
    nothing = history.first_wrong(ctx, history.whole(ctx, "/embeddings"), lambda _: "wrong")
    assert nothing.verdict == "inconclusive"


def test_what_was_kept_of_a_cut_run_is_looked_back_on() -> None:
    """All but what is not whole any more: answers that were shortened, and bytes that are no text."""
    long, odd = made("/completions", {}, b'{"a": "' + b"x" * 20_000 + b'"}'), made("/completions", {}, b'{"a": "\xff"}')
    record = {"exchanges": [of_exchange(one, ENDPOINT) for one in (*EVERYTHING, long, odd)]}
    restored = saved.exchanges_of(json.loads(json.dumps(record)))
    assert [one.body for one in restored] == [one.body for one in EVERYTHING]
    ctx = context()
    ctx.session.earlier = restored
    assert [seen.asked for seen in history.whole(ctx, "/chat/completions")] == [{"n": 1}]
