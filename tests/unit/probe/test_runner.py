"""Order, sharing, bounds, and that nothing a check does ends a run."""

from __future__ import annotations

import json
from typing import Any

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import BREAKS, Check, CheckFunction, Ended, Finding, ignored, in_area, ok
from llmserve.probe.checks import catalogue, needs
from llmserve.probe.connection import Target
from llmserve.probe.context import Context
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.runner import run
from llmserve.probe.selection import cost, select
from llmserve.probe.session import MAX_TIMEOUTS, Session
from llmserve.probe.settings import Settings

ENDPOINT = Endpoint(base_url="http://probe.test/v1", api_key="sk-secret", model="m")
CHAT = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}  # fmt: skip


class Transport:
    """Answers every request from a list (the last one stays), without a network."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    def __call__(self, target: Target, request: Request, limits: Limits) -> Exchange:
        self.requests.append(request)
        told = self.answers[min(len(self.requests), len(self.answers)) - 1]
        fields: dict[str, Any] = {"status": 200, "body": json.dumps(CHAT).encode()} | told
        return Exchange(request=request, **fields)


def session(*answers: dict[str, Any], **settings: Any) -> tuple[Session, Transport, list[float]]:
    transport, slept = Transport(*(answers or ({},))), list[float]()
    return Session(ENDPOINT, Settings(**settings), transport=transport, sleep=slept.append), transport, slept


def asking(again: int) -> CheckFunction:
    return lambda ctx: ok(ctx.chat(again=again).brief())


def made(function: CheckFunction, name: str = "chat.x", **options: Any) -> Check:
    return in_area("chat")(name, "X", BREAKS, expects="x", source="test", **options)(function)


def test_the_catalogue_is_sound() -> None:
    assert catalogue()
    for check in catalogue():
        assert check.title
        assert check.expects
        assert check.source
        assert check.id == check.id.lower()
        assert set(check.needs) <= needs().keys()


def test_equal_requests_are_sent_once_and_repetitions_when_wanted() -> None:
    run_session, transport, _ = session()

    def twice(ctx: Context) -> Finding:
        ctx.chat()
        ctx.chat(again=1)
        return ok()

    outcomes = run(run_session, [made(twice, "chat.a"), made(twice, "chat.b")])
    assert len(transport.requests) == 2
    assert [len(outcome.exchanges) for outcome in outcomes] == [2, 2]


def test_a_check_that_raises_is_inconclusive() -> None:
    def broken(ctx: Context) -> Finding:
        raise ZeroDivisionError("oops")

    (outcome,) = run(session()[0], [made(broken)])
    assert outcome.finding.verdict == "inconclusive"
    assert "ZeroDivisionError: oops" in outcome.finding.saw


def test_a_check_may_end_anywhere() -> None:
    def ending(ctx: Context) -> Finding:
        raise Ended(ignored("so it is"))

    assert run(session()[0], [made(ending)])[0].finding == ignored("so it is")


def test_what_is_not_met_is_the_finding_of_all_that_need_it() -> None:
    run_session, transport, _ = session({"status": 500, "body": b"{}"})
    outcomes = run(run_session, [made(lambda ctx: ok(), f"chat.{i}", needs=("stream",)) for i in range(3)])
    assert {outcome.finding.verdict for outcome in outcomes} == {"skipped"}
    assert len(transport.requests) == 2  # the list of models and one chat


def test_newer_models_want_another_field() -> None:
    refusal = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}
    run_session, transport, _ = session({}, {"status": 400, "body": json.dumps(refusal).encode()}, {})
    (outcome,) = run(
        run_session, [made(lambda ctx: ok(str(ctx.chat_body("x")["max_completion_tokens"])), needs=("chat",))]
    )
    assert outcome.finding == ok("8")
    assert len(transport.requests) == 3


def test_a_rate_limit_is_waited_for_within_bounds() -> None:
    limited = {"status": 429, "headers": (("Retry-After", "7"),), "body": b"{}"}
    run_session, _, slept = session(limited, limited, {})
    (outcome,) = run(run_session, [made(lambda ctx: ok(str(ctx.chat().status)))])
    assert (outcome.finding, slept) == (ok("200"), [7.0, 7.0])
    run_session, _, slept = session(limited, wait_s=10)
    (outcome,) = run(run_session, [made(lambda ctx: ok(str(ctx.chat().status)))])
    assert (outcome.finding, slept) == (ok("429"), [7.0])


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    run_session, transport, _ = session({"status": None, "body": b"", "error": "timeout"})
    outcomes = run(run_session, [made(asking(i), f"chat.{i}") for i in range(20)])
    assert len(transport.requests) == MAX_TIMEOUTS
    assert outcomes[-1].finding.verdict == "skipped"


def test_the_budget_of_tokens_ends_a_run() -> None:
    run_session, transport, _ = session(budget_tokens=10)
    outcomes = run(run_session, [made(asking(i), f"chat.{i}") for i in range(9)])
    assert [outcome.finding.verdict for outcome in outcomes].count("skipped") == 6
    assert len(transport.requests) == 3


def test_several_at_once_bring_the_same() -> None:
    checks = [made(asking(i % 4), f"chat.{i}") for i in range(40)]
    run_session, transport, _ = session(concurrency=4)
    outcomes = run(run_session, checks)
    assert [outcome.check.id for outcome in outcomes] == [check.id for check in checks]
    assert len(transport.requests) == 4


def test_what_costs_or_leaves_traces_is_asked_for() -> None:
    checks = [made(lambda ctx: ok(), allow="delete")]
    assert run(session()[0], checks)[0].finding.verdict == "skipped"
    assert run(session(allow=("delete",))[0], checks)[0].finding.verdict == "pass"


def test_selection_by_glob_area_and_speed() -> None:
    checks = [made(lambda ctx: ok(), "chat.a", quick=True), made(lambda ctx: ok(), "chat.b", requests=2, tokens=8)]

    def chosen(**options: Any) -> list[str]:
        return [check.id for check in select(Settings(**options), checks)]

    assert chosen() == ["chat.a", "chat.b"]
    assert chosen(quick=True) == ["chat.a"]
    assert chosen(only=("*.b",)) == ["chat.b"]
    assert chosen(only=("chat",), skip=("*.b",)) == ["chat.a"]
    assert cost(checks).requests == 2
