"""Whatever a server does, every check ends in time, with a verdict, and keeps the key to itself."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Check
from llmserve.probe.checks import catalogue
from llmserve.probe.runner import Outcome, run
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.answer import Answer
from tests.fakes.openai.deviation import Deviation, answering
from tests.fakes.openai.hostile import HOSTILE, Hostile
from tests.fakes.openai.settings import Settings as Served

VERDICTS = {"pass", "fail", "ignored", "unsupported", "inconclusive", "skipped", "n/a"}
QUICK = Settings(timeout_s=0.4, wait_s=0.0)
MOST_BYTES = 4 * 1024**2
GENEROUS_S = 300.0
"""So long may a run take on a machine that is busy; a quiet one needs seconds."""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


def _some() -> list[Check]:
    """Checks of every area: the quick ones, and the first four of each."""
    per_area: dict[str, int] = {}
    chosen = []
    for check in catalogue():
        per_area[check.area] = per_area.get(check.area, 0) + 1
        if check.area != "sdk" and (check.quick or per_area[check.area] <= 4):
            chosen.append(check)
    return chosen


def _run(url: str, key: str | None, settings: Settings = QUICK) -> tuple[Session, list[Outcome]]:
    session = Session(Endpoint(base_url=url, api_key=key, connect_timeout=2.0, model="fake-chat"), settings)
    return session, run(session, _some())


def _sane(session: Session, outcomes: list[Outcome], began: float) -> None:
    assert len(outcomes) == len(_some())
    assert {one.finding.verdict for one in outcomes} <= VERDICTS
    broken = [(one.check.id, one.finding.saw) for one in outcomes if one.finding.saw.startswith("internal error")]
    assert not broken
    assert all(len(made.body) <= MOST_BYTES for made in session.exchanges)
    assert time.monotonic() - began < GENEROUS_S


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name.replace(" ", "-"))
def test_every_check_ends_with_a_verdict(server: FakeOpenAI, hostile: Hostile) -> None:
    server.become(Served(), hostile.deviation)
    began = time.monotonic()
    session, outcomes = _run(server.url, server.key)
    _sane(session, outcomes, began)
    chat = next(one for one in outcomes if one.check.id == "chat.answers")
    assert chat.finding.verdict in ("fail", "skipped", "inconclusive", "pass")
    assert sum(one.finding.verdict == "pass" for one in outcomes) < len(outcomes) / 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_server_is_told_and_not_followed(server: FakeOpenAI, status: int) -> None:
    with FakeOpenAI() as thief:
        gone = Answer(status=status, raw=b"").with_headers(Location=f"{thief.url}/models")
        server.become(Served(), Deviation(name="redirect", areas=(), **answering(lambda _request, _given: gone)))
        began = time.monotonic()
        session, outcomes = _run(server.url, server.key)
        _sane(session, outcomes, began)
        assert thief.requests == []
    verdicts = {one.check.id: one.finding.verdict for one in outcomes}
    assert verdicts["transport.redirects"] == "fail"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that nobody has signed."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True
    )
    return folder


def test_an_untrusted_certificate_ends_everything_before_the_key_is_sent(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with FakeOpenAI(tls=context) as untrusted:
        began = time.monotonic()
        session, outcomes = _run(untrusted.url, untrusted.key)
        _sane(session, outcomes, began)
        assert untrusted.requests == []
    assert {made.error for made in session.exchanges} <= {"tls", "cut", "network"}
    assert not [one for one in outcomes if one.finding.verdict == "pass" and one.exchanges]


def test_tls_where_there_is_none_ends_with_a_verdict(server: FakeOpenAI) -> None:
    server.become(Served())
    began = time.monotonic()
    session, outcomes = _run(server.url.replace("http:", "https:"), server.key)
    _sane(session, outcomes, began)
    assert not any(made.status for made in session.exchanges)


def test_nobody_listens(server: FakeOpenAI) -> None:
    began = time.monotonic()
    session, outcomes = _run("http://127.0.0.1:9/v1", "sk-x")
    _sane(session, outcomes, began)
    assert {one.finding.verdict for one in outcomes} <= {"fail", "skipped", "inconclusive", "n/a", "pass"}
