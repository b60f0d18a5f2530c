from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from llmserve.chat.answer import Answer, ToolCall
from llmserve.chat.session import Session, choose_model
from llmserve.endpoint.types import ChatRequest, Delta, ServedModel, StreamEnd, StreamEvent, ToolFragment, Usage
from llmserve.errors import LlmserveError

Script = Sequence[StreamEvent | BaseException]
STOP = StreamEnd(finish_reason="stop")


class Scripted:
    """A client that plays one script per request."""

    def __init__(self, *scripts: Script, models: Sequence[str] = ()) -> None:
        self.scripts = list(scripts)
        self.requests: list[ChatRequest] = []
        self.closed = 0
        self._models = models

    def models(self) -> list[ServedModel]:
        return [ServedModel(id=name) for name in self._models]

    def chat_stream(self, request: ChatRequest, **_: object) -> Iterator[StreamEvent]:
        self.requests.append(request)
        try:
            for event in self.scripts.pop(0):
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed += 1


def ignore(_: Delta) -> None:
    pass


def ask(*script: StreamEvent | BaseException) -> Answer:
    return Session(Scripted(script), "m").ask("hi", ignore)


def test_an_answer() -> None:
    shown: list[Delta] = []
    events = (
        Delta(role="assistant"),
        Delta(reasoning="hm"),
        Delta(content="a"),
        Delta(content="b"),
        Usage(total=3),
        STOP,
    )
    answer = Session(Scripted(events), "m").ask("hi", shown.append)
    assert (answer.content, answer.reasoning, answer.finish_reason, answer.usage) == (
        "ab",
        "hm",
        "stop",
        Usage(total=3),
    )
    assert (answer.stopped, answer.error) == (False, None)
    assert answer.ttft_s is not None
    assert answer.last_s is not None
    assert 0 < answer.ttft_s <= answer.last_s <= answer.total_s
    assert shown == [event for event in events if isinstance(event, Delta)]


def test_a_conversation_is_sent_whole() -> None:
    client = Scripted([Delta(content="a1"), STOP], [Delta(content="a2"), STOP])
    session = Session(client, "m", system="be brief", sampling={"max_tokens": 7})
    session.ask("q1", ignore)
    session.ask("q2", ignore)
    assert client.requests[1].messages == (
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
    )
    assert client.requests[1].sampling == {"max_tokens": 7}
    session.clear()
    assert session.messages == []


def test_a_stopped_answer_is_kept_and_the_connection_closed() -> None:
    client = Scripted([Delta(content="a"), KeyboardInterrupt()])
    session = Session(client, "m")
    answer = session.ask("q", ignore)
    assert (answer.content, answer.stopped, answer.error) == ("a", True, None)
    assert session.messages[-1] == {"role": "assistant", "content": "a"}
    assert client.closed == 1


def test_a_stop_while_a_piece_is_shown_closes_the_connection() -> None:
    def interrupted(_: Delta) -> None:
        raise KeyboardInterrupt

    client = Scripted([Delta(content="a"), Delta(content="b"), STOP])
    answer = Session(client, "m").ask("q", interrupted)
    assert (answer.content, answer.stopped, client.closed) == ("a", True, 1)


def test_a_failed_answer_is_kept() -> None:
    fault = LlmserveError("cut", code="stream_cut")
    session = Session(Scripted([Delta(content="a"), fault]), "m")
    assert (answer := session.ask("q", ignore)).error is fault
    assert answer.content == "a"
    assert len(session.messages) == 2


def test_a_question_without_an_answer_is_pending_and_can_be_asked_again() -> None:
    client = Scripted([LlmserveError("refused")], [STOP], [Delta(content="a"), STOP])
    session = Session(client, "m")
    session.ask("q", ignore)
    assert (session.messages, session.pending) == ([], {"role": "user", "content": "q"})
    answer = session.retry(ignore)
    assert answer is not None
    assert answer.content == ""
    assert (session.retry(ignore) or Answer()).content == "a"
    assert [message["content"] for message in session.messages] == ["q", "a"]
    assert [len(request.messages) for request in client.requests] == [1, 1, 1], "two questions in a row are refused"


def test_retry_undo_and_dropping_the_oldest() -> None:
    scripts: list[Script] = [[Delta(content=f"a{number}"), STOP] for number in range(1, 5)]
    client = Scripted(*scripts)
    session = Session(client, "m")
    assert session.retry(ignore) is None
    assert session.undo() is None
    assert not session.drop_oldest()
    for question in ("q1", "q2", "q3"):
        session.ask(question, ignore)
    session.retry(ignore)
    assert [message["content"] for message in session.messages] == ["q1", "a1", "q2", "a2", "q3", "a4"]
    assert session.drop_oldest()
    assert session.undo() == {"role": "user", "content": "q3"}
    assert [message["content"] for message in session.messages] == ["q2", "a2"]


def test_every_change_is_told_before_and_after_the_answer() -> None:
    seen: list[tuple[int, bool]] = []
    session = Session(Scripted([Delta(content="a"), STOP]), "m")
    session.changed = lambda: seen.append((len(session.turns), session.pending is not None))
    session.ask("q", ignore)
    assert seen == [(0, True), (1, False)]


def test_thoughts_inside_the_text_are_taken_out() -> None:
    shown: list[Delta] = []
    client = Scripted(
        [Delta(content="<thi"), Delta(content="nk>\nHm.</th"), Delta(content="ink>\n\nYes"), STOP], [STOP]
    )
    session = Session(client, "m")
    answer = session.ask("q", shown.append)
    assert (answer.content, answer.reasoning) == ("Yes", "Hm.")
    assert "".join(delta.content for delta in shown) == "Yes"
    assert session.turns[0].reasoning == "Hm."
    session.ask("q2", ignore)
    assert client.requests[1].messages[1] == {"role": "assistant", "content": "Yes"}


def test_a_tag_that_is_never_closed_or_only_spoken_of() -> None:
    assert (ask(Delta(content="<think>a <"), STOP).reasoning) == "a <"
    assert (ask(Delta(content="<thi"), STOP).content) == "<thi"
    assert (ask(Delta(content="Use <think>x</think>."), STOP).content) == "Use <think>x</think>."


class Adder:
    """A toolbox with one tool."""

    definitions = ({"type": "function", "function": {"name": "add", "description": "", "parameters": {}}},)

    def call(self, call: ToolCall) -> str:
        return f"{call.name}:{call.arguments}"


def test_tools_are_run_and_their_results_sent_back() -> None:
    fragments = [
        ToolFragment(index=0, id="c1", name="add", arguments='{"a":'), ToolFragment(index=0, arguments=" 1}"),
        ToolFragment(index=1, id="c2", name="add", arguments="{}"),
    ]  # fmt: skip
    calling = [Delta(tool_calls=(fragment,)) for fragment in fragments]
    client = Scripted([*calling, StreamEnd(finish_reason="tool_calls")], [Delta(content="2"), STOP])
    session = Session(client, "m", tools=Adder())
    assert session.ask("1+1?", ignore).content == "2"
    assert client.requests[0].sampling["tools"] == list(Adder.definitions)
    roles = [message["role"] for message in client.requests[1].messages]
    assert roles == ["user", "assistant", "tool", "tool"]
    assert client.requests[1].messages[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert client.requests[1].messages[2] == {"role": "tool", "tool_call_id": "c1", "content": 'add:{"a": 1}'}
    assert session.turns[0].answer == "2"


def test_a_model_that_calls_for_ever_is_stopped() -> None:
    calling: Script = [Delta(tool_calls=(ToolFragment(index=0, id="c", name="add", arguments="{}"),)), STOP]
    client = Scripted(*([calling] * 100))
    Session(client, "m", tools=Adder()).ask("q", ignore)
    assert len(client.requests) == 17


def test_other_errors_pass() -> None:
    with pytest.raises(BrokenPipeError):
        ask(Delta(content="a"), BrokenPipeError())


@pytest.mark.parametrize(
    "sentence",
    [
        "body.stream_options: Extra inputs are not permitted",
        "Unknown field: x",
        "Unrecognized request argument supplied",
    ],
)
def test_a_server_that_refuses_stream_options_is_asked_once_more(sentence: str) -> None:
    refusal = LlmserveError(f"http://h/v1 rejected the request (400: {sentence}).", code="bad_request")
    client = Scripted([refusal], [Delta(content="a"), STOP], [Delta(content="b"), STOP])
    session = Session(client, "m")
    assert session.ask("q", ignore).content == "a"
    assert session.ask("q", ignore).content == "b"
    assert [request.include_usage for request in client.requests] == [True, False, False]


def test_it_is_asked_once_more_only() -> None:
    refusal = LlmserveError("stream_options", code="bad_request")
    client = Scripted([refusal], [refusal])
    assert Session(client, "m").ask("q", ignore).error is refusal
    assert len(client.requests) == 2


@pytest.mark.parametrize("code", ["bad_request", "server_error"])
def test_other_refusals_are_not_repeated(code: str) -> None:
    client = Scripted([LlmserveError("temperature is out of range", code=code)])
    assert Session(client, "m").ask("q", ignore).error is not None
    assert len(client.requests) == 1


def test_pieces_of_an_emoji_are_joined() -> None:
    assert ask(Delta(content="\ud83d"), Delta(content="\ude00"), STOP).content == "😀"


def test_other_choices_are_ignored() -> None:
    assert ask(Delta(content="a"), Delta(content="x", index=1), STOP).content == "a"


def test_tools_are_named() -> None:
    fragments = (ToolFragment(index=0, name="f"), ToolFragment(index=0, arguments="{}"))
    assert ask(Delta(tool_calls=fragments), STOP).calls == (ToolCall(id="call_0", name="f", arguments="{}"),)


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        (Answer(usage=Usage(completion=11), ttft_s=1.0, last_s=3.0), 5.0),
        (Answer(usage=Usage(completion=11), ttft_s=1.0, last_s=1.001), None),  # one burst
        (Answer(usage=Usage(completion=0), ttft_s=1.0, last_s=3.0), None),
        (Answer(usage=Usage(prompt=3), ttft_s=1.0, last_s=3.0), None),
        (Answer(ttft_s=1.0, last_s=3.0), None),
        (Answer(usage=Usage(completion=11)), None),
    ],
)
def test_rate(answer: Answer, rate: float | None) -> None:
    assert answer.tokens_per_s == rate


def test_the_model() -> None:
    assert choose_model(Scripted(models=["a"]), "b") == ("b", None)
    assert choose_model(Scripted(models=["a"]), None) == ("a", None)
    assert choose_model(Scripted(models=["a", "b", "c"]), None) == (
        "a", "Using the model a. Others: b, c; choose with --model ID.",
    )  # fmt: skip
    many = [f"m{number}" for number in range(100)]
    assert "Others: m1, m2, m3, m4, m5, m6, m7, m8 and 91 more;" in (choose_model(Scripted(models=many), None)[1] or "")
    with pytest.raises(LlmserveError, match="lists no model"):
        choose_model(Scripted(), None)
