"""Every command, typed into a conversation."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmserve.chat import store
from llmserve.chat.commands import COMMANDS
from llmserve.chat.export import as_curl, as_python
from llmserve.endpoint.endpoint import Endpoint
from tests.fakes.endpoint import FakeEndpoint, Reply, chunk, error, models, stream, usage
from tests.unit.chat.talk import Line, conversing, transcript

MODELS = {"/v1/models": models("tiny", "big-one", "big-two")}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def sent(fake: FakeEndpoint, number: int = -1) -> Any:
    return [seen for seen in fake.requests if seen.path.endswith("completions")][number].json


def test_help_lists_every_command() -> None:
    text, _, _ = transcript(stream("x"), ["/help", "/?"])
    assert all(text.count(f"/{name} ") >= 2 for name in COMMANDS)


def test_unknown_commands_are_answered_with_the_nearest() -> None:
    text, fake, _ = transcript(stream("x"), ["/retyr", "/zzz"])
    assert "There is no command /retyr.\n  Did you mean /retry? /help lists them." in text
    assert fake.requests == []


def test_model() -> None:
    text, fake, chat = transcript(
        stream("x"), ["/model", "/model 3", "a", "/model big", "/model one", "/model nope", "b"], routes=MODELS
    )
    assert "*   1  tiny\n    2  big-one\n    3  big-two" in text
    assert "Now asking big-two." in text
    assert "Several models have 'big' in its name.\n  Did you mean big-one or big-two?" in text
    assert "No model has 'nope' in its name." in text
    assert [sent(fake, number)["model"] for number in (0, 1)] == ["big-two", "big-one"]
    assert [turn.model for turn in chat.session.turns] == ["big-two", "big-one"]


def test_set_and_system_reach_the_request() -> None:
    text, fake, _ = transcript(
        stream("x"),
        ["/set temperature 0.5", "/set top_k 3", "/set logprobs on", "/set response_format json", '/set stop ["a"]',
         "/set stop_token_ids [1]", "/set max_tokens x", "/set model y", "/set top_k", "/system Be brief.", "a", "/set",
         "/system", "/system none", "b"],
    )  # fmt: skip
    body = sent(fake, 0)
    assert (body["temperature"], body["logprobs"], body["stop"], body["stop_token_ids"]) == (0.5, True, ["a"], [1])
    assert body["response_format"] == {"type": "json_object"}
    assert "top_k" not in body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent(fake, 1)["messages"][0]["role"] == "user"
    assert "max_tokens wants a whole number, not 'x'." in text
    assert "model is set by the conversation itself." in text
    assert "System prompt: Be brief." in text


def test_retry_and_undo() -> None:
    answers = [stream("A1."), stream("A2."), stream("B.")]
    text, fake, chat = transcript(answers, ["/retry", "/undo", "a", "/retry", "/undo", "b"])
    assert "Nothing was asked yet." in text
    assert "There is nothing to take back." in text
    assert "Taken back: a" in text
    assert sent(fake, 1) == sent(fake, 0)
    assert [turn.question["content"] for turn in chat.session.turns] == ["b"]


def test_redo_brings_the_question_back_to_the_prompt() -> None:
    text, fake, _ = transcript(stream("A."), ["speling", "/redo", "!"])
    assert "> speling!\n" in text
    assert [message["content"] for message in sent(fake)["messages"]] == ["speling!"]


def test_edit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "editor.py"
    script.write_text("import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + ' and more')")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    _, fake, chat = transcript([stream("A."), stream("B."), stream("C.")], ["a", "/edit", "/edit new"])
    assert [message["content"] for message in sent(fake, 1)["messages"]] == ["a and more"]
    assert [turn.question["content"] for turn in chat.session.turns] == ["a and more", "new and more"]


def test_an_editor_that_fails_or_is_not_there_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "false")
    text, fake, _ = transcript(stream("A."), ["/edit x"])
    assert "Nothing is sent." in text
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    text, _, _ = transcript(stream("A."), ["/edit x"])
    assert "cannot be started" in text
    assert fake.requests == []


def test_attachments(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(PNG)
    (tmp_path / "t.py").write_text("x = '```'\n")
    _, fake, _ = transcript(
        stream("x"),
        [f"/image {tmp_path}/a b.png", f"/file '{tmp_path}/t.py'", "what?", "plain", f"/file {tmp_path}/t.py", "q"],
    )
    image, file, question = sent(fake, 0)["messages"][0]["content"]
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert file["text"].endswith("t.py:\n````\nx = '```'\n````")
    assert question == {"type": "text", "text": "what?"}
    assert sent(fake, 1)["messages"][-1]["content"] == "plain"
    assert sent(fake, 2)["messages"][-1]["content"].endswith("````\n\nq"), "a text alone needs no parts"


def test_attachments_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("x = 1\n")
    (tmp_path / "bin").write_bytes(b"\xff\xfe")
    lines = [f"/image {tmp_path}/t.py", f"/file {tmp_path}/bin", "/file /no/such", "/image", f"/file {tmp_path}"]
    text, fake, _ = transcript(stream("x"), [*lines, "a"])
    for said in ("t.py is no image.", "bin is no text in UTF-8.", "/no/such cannot be read", "Which image?"):
        assert said in text
    assert sent(fake)["messages"] == [{"role": "user", "content": "a"}]


def test_debug_shows_bytes_and_no_escape() -> None:
    text, _, _ = transcript(stream("a\x1b[2J"), ["/debug", "hi", "/debug"])
    assert "Nothing was sent yet." in text
    assert "POST URL/chat/completions" in text
    assert '"stream": true' in text
    assert "data: [DONE]" in text
    assert "\x1b" not in text


def test_curl_and_python_send_the_same_request(tmp_path: Path) -> None:
    """Both are run: what they send is what the conversation sent, and no key stands in them."""
    _, _, chat = transcript(stream("x"), ["/set temperature 0", "/set top_k 5", 'it\'s "quoted" $HOME'])
    with FakeEndpoint({"/v1/chat/completions": stream("Hello")}) as fake:
        endpoint = Endpoint(base_url=fake.url, api_key="sk-secret", headers=(("X-Team", "a b"), ("X-Key", "hush")))
        curl, python = as_curl(chat.session, endpoint), as_python(chat.session, endpoint)
        assert "sk-secret" not in curl + python
        assert "hush" not in curl + python
        env = {"OPENAI_API_KEY": "sk-secret", "PATH": "/usr/bin:/bin"}
        done = subprocess.run([sys.executable, "-c", python], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "Hello"), done.stderr
        shell = tmp_path / "curl"
        shell.write_text('#!/bin/sh\nfor each; do printf "%s\\n" "$each"; done\n')
        shell.chmod(0o755)
        env["PATH"] = f"{tmp_path}:{env['PATH']}"
        words = subprocess.run(["sh", "-c", curl], env=env, capture_output=True, text=True, check=True).stdout
    sent_by_python = fake.requests[0].json
    assert "Authorization: Bearer sk-secret" in words.splitlines()
    body = json.loads(words[words.index("{") :])
    assert body == sent_by_python
    assert body["messages"] == [{"role": "user", "content": 'it\'s "quoted" $HOME'}]
    assert (body["temperature"], body["top_k"]) == (0.0, 5)
    assert fake.requests[0].headers["x-team"] == "a b"


def test_curl_needs_a_question() -> None:
    assert "Ask something first." in transcript(stream("x"), ["/curl"])[0]


def test_export(tmp_path: Path) -> None:
    reply = Reply(pieces=[chunk(reasoning_content="hm"), chunk("Yes"), chunk(finish_reason="length")])
    lines = ["/export", "/system S", "well?", "/export", f"/export {tmp_path}/c.json", f"/export {tmp_path}/c.md"]
    text, _, _ = transcript(reply, [*lines, f"/export {tmp_path}", f"/export {tmp_path}/no/\0x"])
    assert "There is nothing to export yet." in text
    body = json.loads((tmp_path / "c.json").read_text())
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant"]
    assert body["model"] == "tiny"
    written = (tmp_path / "c.md").read_text()
    assert written in text
    for part in ("# tiny", "> S", "## User\n\nwell?", "<summary>Thoughts</summary>\n\nhm", "Yes", "*(cut)*"):
        assert part in written


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    lines: list[Line] = [
        "/save",
        "a",
        "/save",
        "/save work",
        f"/save {path}",
        "b",
        "/load",
        "/clear",
        f"/load {path}",
        "c",
    ]
    text, fake, _ = transcript(stream("A."), lines, save=True)
    assert "There is nothing to save yet." in text
    assert "Saved as work; from now on under this name." in text
    assert [message["content"] for message in sent(fake)["messages"]] == ["a", "A.", "c"]
    kept = store.find("work")
    assert kept is not None
    assert [turn.question["content"] for turn in kept.turns] == ["a", "b"]
    assert path.stat().st_mode & 0o077 == 0
    assert len(store.saved()) == 3


def test_load_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"version": 1, "turns": [{"question": {}}]}')
    text, _, _ = transcript(stream("A."), ["/load", "/load nope", f"/load {tmp_path}/x.json", "/load /no/x.json"])
    assert "Nothing was saved yet." in text
    assert "There is no conversation called nope." in text
    assert "holds no conversation that this version can read" in text
    assert "/no/x.json cannot be read" in text


def test_show() -> None:
    text, _, _ = transcript(stream("A."), ["/set seed 1", "a", "/show"], save=True)
    assert (
        'Endpoint  URL\nModel     tiny\nSystem    –\nFields    {"seed": 1}\nTools     –\nAsked     1 question\n' in text
    )


def test_compare_two_models_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    def answer(seen: Any) -> Reply:
        return stream(f"I am **{seen.json['model']}**.\n\nHello there.", tokens=usage(3, 2))

    text, fake, chat = transcript(
        answer, ["/compare big-one", "who?", "/compare big-one", "/compare nope"], routes=MODELS
    )
    assert "Nothing was asked yet." in text
    rows = text.split("Asking tiny and big-one …\n")[1].splitlines()
    assert rows[0].split("│")[0].strip() == "tiny"
    assert rows[0].split("│")[1].strip() == "big-one"
    assert [part.strip() for part in rows[2].split("│")] == ["I am tiny.", "I am big-one."]
    assert "'nope' is neither an address nor a model" in text
    assert len(chat.session.turns) == 1
    assert sent(fake, 1)["messages"] == sent(fake, 2)["messages"] == sent(fake, 0)["messages"]


def test_compare_with_another_endpoint_and_a_new_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    with FakeEndpoint({"/v1/models": models("other"), "/v1/chat/completions": error(500, "boom")}) as second:
        text, _, _ = transcript(stream("A."), ["a", f"/compare {second.host} new question"])
    assert "other at http" in text
    assert "error:" in text
    assert second.requests[-1].json["messages"][-1]["content"] == "new question"


def test_clear_begins_a_new_file() -> None:
    transcript(stream("A."), ["a", "/clear", "b"], save=True)
    assert sorted(each.title for each in store.saved()) == ["a", "b"]


def test_tools_of_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text('def add(a: int, b: int = 0) -> int:\n    """Add."""\n    return a + b\n')
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    calling = Reply(pieces=[chunk("Let me see. "), chunk(tool_calls=[call]), chunk(finish_reason="tool_calls")])
    asked: list[str] = []

    def approve(line: str) -> bool:
        asked.append(line)
        return True

    text, fake, _ = transcript([calling, stream("3.")], ["/tools", f"/tools {path}", "1+2?", "/tools"], approve=approve)
    assert asked == ["add(a=1, b=2)"]
    assert "Added: add." in text
    assert "Let me see." in text
    assert "  → 3\n3.\n" in text
    assert sent(fake, 1)["messages"][-1] == {"role": "tool", "tool_call_id": "c1", "content": "3"}


def test_no_command_fails_on_an_empty_conversation() -> None:
    """Whatever is typed, there is a sentence and no traceback."""
    for name in COMMANDS:
        if name not in ("quit", "edit"):
            for argument in ("", " x", ' "x', " /", " \0"):
                text, _, _ = transcript(stream("x"), [f"/{name}{argument}"], routes=MODELS)
                assert "Traceback" not in text


def test_a_conversation_that_can_ask_nobody_lists_models() -> None:
    assert conversing(models=["a"]).session.client.models()[0].id == "a"
