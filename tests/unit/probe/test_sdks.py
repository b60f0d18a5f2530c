"""The real SDKs over recorded bytes: what they make of OpenAI's answers, and of answers that are a little different."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Ended
from llmserve.probe.checks import catalogue
from llmserve.probe.checks.sdk import CALLS
from llmserve.probe.context import Context
from llmserve.probe.runner import run, unmet
from llmserve.probe.sdks.run import NAMES, Job, Reading, Sdk, find, read
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviations import named
from tests.fakes.openai.settings import Settings as Served

WANTED = (
    ("b01-base64-ignored", "embeddings"),
    ("s04-usage-no-choices", "stream"),
    ("t41-no-index", "tools_helper"),
    ("r05-no-item-added", "responses_helper"),
    ("errors-flat", "error"),
    ("n06b-choices-null", "chat"),
    ("s02-no-role", "helper"),
    ("r17-end-without-output", "responses_helper"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


def _session(server: FakeOpenAI) -> Session:
    return Session(Endpoint(base_url=server.url, api_key=server.key), Settings(wait_s=0))


def _recorded(server: FakeOpenAI, deviation: str, word: str) -> Job:
    """The bytes of one call under one deviation."""
    server.become(Served())
    session = _session(server)
    call = next(call for call in CALLS if call.name == word)
    for name in call.needs:
        assert unmet(session, name) is None
    server.deviation = named(deviation)
    session._answers.clear()
    try:
        return Job(word, call.record(Context(session)).exchange)
    except Ended as ended:
        raise AssertionError(ended.finding) from ended


def _sdk(name: str) -> Sdk:
    found = find(name)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module", params=NAMES)
def readings(request: pytest.FixtureRequest, server: FakeOpenAI) -> dict[str, Reading]:
    """All deviations read in one process."""
    sdk = _sdk(request.param)
    jobs = [_recorded(server, deviation, word) for deviation, word in WANTED]
    found = read(sdk, jobs)
    return {
        "sdk": Reading({"name": sdk.name}),
        **{deviation: one for (deviation, _), one in zip(WANTED, found, strict=True)},
    }


def test_what_the_sdks_make_of_deviations_is_what_was_measured(readings: dict[str, Reading]) -> None:
    python = readings["sdk"].value["name"] == "openai-python"
    vector = readings["b01-base64-ignored"].value
    assert vector["size"] == (48 if python else 12)
    assert (vector["norm"] == 0) is not python, "openai-node reads floats as base64 and returns zeros"
    assert readings["s04-usage-no-choices"].error.startswith("TypeError")
    assert "TypeError" in readings["t41-no-index"].error or not python
    assert readings["r05-no-item-added"].error
    assert readings["n06b-choices-null"].error.startswith("TypeError")
    shown = readings["errors-flat"].value["shown"]
    assert ("(no body)" in shown) is not python
    assert readings["r17-end-without-output"].value["status"] == "incomplete"
    assert python or "role" in readings["s02-no-role"].error


@pytest.mark.parametrize("name", NAMES)
def test_openai_s_own_answers_are_read_without_a_fault(server: FakeOpenAI, name: str) -> None:
    _sdk(name)
    server.become(Served())
    checks = [check for check in catalogue() if check.id.startswith(f"sdk.{name.removeprefix('openai-')}.")]
    found = {outcome.check.id: outcome.finding for outcome in run(_session(server), checks)}
    assert len(found) == len(CALLS)
    assert {one.verdict for one in found.values()} == {"pass"}, found


def test_no_key_and_no_address_of_the_user_reach_an_sdk(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "sk-secret")
    told = "import json, os; print(json.dumps({'value': dict(os.environ)}))"
    found = read(Sdk("environment", (sys.executable, "-c", told)), [_recorded(server, "s19-crlf", "stream")])
    assert found[0].value["PATH"]
    assert "sk-secret" not in found[0].value.values()


def test_a_driver_that_dies_leaves_readings_that_say_so(server: FakeOpenAI) -> None:
    job = _recorded(server, "s19-crlf", "stream")
    found = read(Sdk("broken", ("false",)), [job, job])
    assert [one.error for one in found] == ["broken gave no result"] * 2
