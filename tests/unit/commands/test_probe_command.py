"""The command as it is typed: what is printed, written and returned."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llmserve.app import run
from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe import probing, runner, saved
from llmserve.probe.checks import catalogue
from tests.fakes.endpoint import FakeEndpoint, Reply, error, models
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviations import named

SCHEMA = Path(__file__).parents[3] / "templates" / "schemas" / "probe-1.json"
NO_SDK = ("--skip", "sdk")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
def probe(
    server: FakeOpenAI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", server.key or "")

    def typed(*args: str, url: str = "") -> tuple[int, str, str]:
        code = run(["probe", "--base-url", url or server.url, *args])
        out, err = capsys.readouterr()
        return code, out, err

    yield typed
    server.deviation = None


def test_a_compatible_endpoint_is_said_to_be_one(probe: Any) -> None:
    code, out, _ = probe("--quick", *NO_SDK)
    assert code == 0
    assert "Drop-in replacement: not judged. Nothing broke a client in " in out, "a quick run cannot say yes"
    assert "✓ openai (Python)" in out
    assert "Nothing failed." in out


def test_quick_means_45_requests_at_most(probe: Any) -> None:
    _, out, _ = probe("--quick", "--json", *NO_SDK)
    assert json.loads(out)["data"]["requests"] <= 45


def test_json_keeps_to_its_schema_and_holds_no_key(probe: Any, server: FakeOpenAI) -> None:
    _, out, _ = probe("--json", "--only", "chat", "--only", "stream.*", "--only", "auth")
    record = json.loads(out)["data"]
    jsonschema.validate(record, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (server.key or "?") not in out
    assert {check["area"] for check in record["checks"]} == {"chat", "streaming", "auth"}
    numbers = [number for check in record["checks"] for number in check["evidence"]["exchanges"]]
    assert set(numbers) <= set(range(len(record["exchanges"])))


def test_a_failure_is_shown_in_three_lines_and_is_exit_code_7(probe: Any, server: FakeOpenAI) -> None:
    server.deviation = named("n05-no-usage")
    code, out, _ = probe("--only", "chat.usage.*")
    assert code == 7
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if "chat.usage.present" in line and line.startswith("✗"))
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == ["sent", "answered", "expected"]
    assert "POST /v1/chat/completions" in lines[start + 1]


def test_fail_on_and_min_score_decide_about_exit_code_7(probe: Any, server: FakeOpenAI) -> None:
    server.deviation = named("errors-flat")
    assert probe("--only", "error.type", "--only", "error.envelope")[0] == 7
    server.deviation = named("no-request-id")
    only = ("--only", "transport.request_id")
    assert probe(*only)[0] == 0
    assert probe(*only, "--fail-on", "cosmetic")[0] == 7
    assert probe(*only, "--min-score", "1")[0] == 7
    assert probe(*only, "--min-score", "0")[0] == 0


def test_files(probe: Any, server: FakeOpenAI, tmp_path: Path) -> None:
    server.deviation = named("n05-no-usage")
    files = [tmp_path / name for name in ("r.html", "r.xml", "r.md")]
    _, _, err = probe("--only", "chat", "--html", str(files[0]), "--junit", str(files[1]), "--md", str(files[2]))
    page, suites, text = files[0].read_text("utf-8"), ET.fromstring(files[1].read_bytes()), files[2].read_text("utf-8")
    assert str(files[0]) in err
    assert "<script" not in page
    assert "default-src 'none'" in page
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert "chat.usage.present" in failed
    assert "`chat.usage.present`" in text
    assert all((server.key or "?") not in told for told in (page, text, files[1].read_text("utf-8")))


def test_plan_sends_nothing(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = probe("--plan", url="http://127.0.0.1:1")
    assert code == 0
    assert "Nothing was sent." in out
    assert "chat.usage.total" in out
    run(["probe", "--plan", "--json"])
    plan = json.loads(capsys.readouterr().out)["data"]
    assert len(plan["checks"]) == len(catalogue())


def test_explain_shows_bytes_without_the_key(probe: Any, server: FakeOpenAI) -> None:
    code, out, _ = probe("--explain", "chat.usage.total")
    assert code == 0
    assert "> POST /v1/chat/completions" in out
    assert "> Authorization: Bearer ***" in out
    assert "< HTTP/1.1 200" in out
    assert (server.key or "?") not in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--only", "nope"), "'nope'"),
        (("--explain", "chat.nope"), "'chat.nope'"),
        (("--only", "chat", "--skip", "chat"), "Nothing is left"),
        (("--allow", "everything"), "'everything'"),
        (("--html", "/nowhere/at/all.html"), "no such folder"),
        (("--fail-on", "everything"), "everything"),
    ],
)
def test_what_is_typed_wrong_is_a_sentence(probe: Any, args: tuple[str, ...], said: str) -> None:
    code, out, err = probe(*args)
    assert (code, out) == (2, "")
    assert said in err


def test_nothing_listens(probe: Any) -> None:
    code, out, err = probe(url="http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "nothing listens there" in err


def test_a_refused_key_is_one_sentence(probe: Any) -> None:
    with FakeEndpoint({path: error(401, "no") for path in ("/v1/models", "/v1/chat/completions")}) as fake:
        code, _, err = probe(url=fake.url)
    assert code == 4
    assert "OPENAI_API_KEY" in err


def test_what_a_server_says_cannot_steer_the_terminal(probe: Any) -> None:
    odd = Reply(status=400, body={"error": {"message": "\x1b]0;owned\x07\x1b[2J\u202eevil\x9b31m"}})
    with FakeEndpoint({"/v1/models": models("m\x1b[2J"), "/v1/chat/completions": odd}) as fake:
        _, out, err = probe("--only", "chat.answers", "--only", "models", url=fake.url)
        _, explained, _ = probe("--explain", "chat.answers", url=fake.url)
    for text in (out, err, explained):
        assert not [sign for sign in text if sign != "\n" and (ord(sign) < 32 or 127 <= ord(sign) < 160)]
        assert "\u202e" not in text


def test_an_interrupted_run_goes_on(probe: Any, server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.run
    asked: list[str] = []

    def cut(session: Any, checks: Any, *, report: Any) -> Any:
        def report_some(outcome: Any) -> None:
            report(outcome)
            if outcome.check.id == "chat.object":
                raise KeyboardInterrupt

        return real(session, checks, report=report_some)

    monkeypatch.setattr(probing, "run", cut)
    code, _, err = probe("--only", "chat")
    assert code == 130
    assert "--resume" in err

    def watched(session: Any, checks: Any, *, report: Any) -> Any:
        asked.extend(check.id for check in checks)
        return real(session, checks, report=report)

    monkeypatch.setattr(probing, "run", watched)
    code, out, _ = probe("--only", "chat", "--resume", "--json")
    record = json.loads(out)["data"]
    assert code == 0
    assert "chat.object" not in asked
    assert len(record["checks"]) == len([check for check in catalogue() if check.area == "chat"])
    assert all(check["evidence"]["exchanges"] for check in record["checks"] if check["id"] == "chat.object")
    assert not saved.place(Endpoint(base_url=server.url)).exists()
