"""What clients meet who move from one endpoint to another, or between saved reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.app import run
from llmserve.probe.report import stored
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviations import named

SOME = ("--only", "chat", "--only", "chat.*", "--only", "stream.*", "--only", "models")


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeOpenAI, FakeOpenAI]]:
    with FakeOpenAI() as here, FakeOpenAI() as there:
        monkeypatch.setenv("OPENAI_API_KEY", here.key or "")
        monkeypatch.setenv("OPENAI_AGAINST_KEY", there.key or "")
        yield here, there


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["probe", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_two_equal_servers_change_nothing(
    pair: tuple[FakeOpenAI, FakeOpenAI], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = pair
    code, out, _ = typed(capsys, "--base-url", here.url, "--against", there.url, *SOME, "--json")
    change = json.loads(out)["data"]
    assert (code, change["worse"], change["better"], change["different"]) == (0, [], [], [])
    assert change["same"] > 30


def test_what_gets_worse_and_better_and_the_bytes_that_differ(
    pair: tuple[FakeOpenAI, FakeOpenAI], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = pair
    there.deviation = named("n05-no-usage")
    words = ("--base-url", here.url, "--against", there.url, *SOME)
    code, out, _ = typed(capsys, *words, "--json")
    change = json.loads(out)["data"]
    assert code == 7
    assert "chat.usage.present" in {one["id"] for one in change["worse"]}
    assert change["better"] == []
    gone = {one["name"] for one in change["different"] if (one["what"], one["side"]) == ("key", "from")}
    assert {"usage", "usage.total_tokens"} <= gone
    code, out, _ = typed(capsys, *words)
    assert "WORSE" in out
    assert "pass → fail" in out
    back, out, _ = typed(capsys, "--base-url", there.url, "--against", here.url, *SOME, "--json")
    change = json.loads(out)["data"]
    assert (back, change["worse"]) == (0, [])
    assert "chat.usage.present" in {one["id"] for one in change["better"]}


def test_saved_reports_are_compared_without_a_request(
    pair: tuple[FakeOpenAI, FakeOpenAI], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    here, there = pair
    there.deviation = named("n05-no-usage")
    files = []
    for name, server in (("a", here), ("b", there)):
        _, out, _ = typed(capsys, "--base-url", server.url, *SOME, "--json")
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(out)
    before = len(here.requests) + len(there.requests)
    code, out, _ = typed(capsys, "--report", str(files[0]), "--against", str(files[1]), "--json")
    assert code == 7
    assert json.loads(out)["data"]["worse"]
    small = tmp_path / "small.json"
    small.write_text(json.dumps(stored.profile(json.loads(files[1].read_text())["data"], "b")))
    _, again, _ = typed(capsys, "--report", str(files[0]), "--against", str(small), "--json")
    first, second = json.loads(out)["data"], json.loads(again)["data"]
    assert first["different"] == second["different"]
    assert [one["id"] for one in first["worse"]] == [one["id"] for one in second["worse"]]
    assert len(here.requests) + len(there.requests) == before


def test_the_key_of_one_endpoint_never_goes_to_the_other(
    pair: tuple[FakeOpenAI, FakeOpenAI], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-first-one")
    monkeypatch.setenv("OPENAI_AGAINST_KEY", "sk-of-the-second-one")
    typed(capsys, "--base-url", here.url, "--against", there.url, "--only", "chat.usage.*")
    sent = [str(request.headers) for request in there.requests]
    assert not [one for one in sent if "sk-of-the-first-one" in one]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"data": {"checks": []}}', "\udcff"])
def test_what_is_no_report_is_a_sentence(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    code, _, err = typed(capsys, "--report", str(file), "--against", str(file))
    assert code == 2
    assert str(file) in err.replace("\n", "")
    assert typed(capsys, "--report", str(tmp_path / "none"), "--against", str(file))[0] == 2


def test_shipped_profiles_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    names = stored.profiles()
    assert len(names) >= 3
    for name in names:
        found: dict[str, Any] = stored.load(name)
        assert len(found["checks"]) > 200
    code, out, _ = typed(capsys, "--report", names[0], "--against", names[-1], "--json")
    assert code in (0, 7)
    assert json.loads(out)["data"]["same"] > 50
