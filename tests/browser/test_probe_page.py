"""The probe's page in a real browser: it stands alone, shows its areas, and runs nothing that a server said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import BREAKS, Finding, fail, in_area, ok
from llmserve.probe.context import Context
from llmserve.probe.report.page import page
from llmserve.probe.report.record import report
from llmserve.probe.runner import run
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings
from tests.fakes.endpoint import FakeEndpoint, Reply

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = '<script>document.title="owned"</script><img src=x onerror="document.title=1">'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def _page(tmp_path: Path) -> Path:
    def bad(ctx: Context) -> Finding:
        return fail(ctx.get("/models").said)

    def good(ctx: Context) -> Finding:
        return ok(ctx.get("/models").brief())

    check = in_area("models")
    with FakeEndpoint({"/v1/models": Reply(body={"error": {"message": EVIL}})}) as fake:
        session = Session(Endpoint(base_url=fake.url), Settings())
        checks = [check(f"models.{one.__name__}", EVIL, BREAKS, expects=EVIL, source="x")(one) for one in (bad, good)]
        record = report(session, run(session, checks), took_s=1.0)
    path = tmp_path / "report.html"
    path.write_text(page(record), encoding="utf-8")
    return path


def _dom(path: Path, tmp_path: Path) -> str:
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'chromium'}", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def test_the_page_stands_alone_and_runs_nothing(tmp_path: Path) -> None:
    dom = _dom(_page(tmp_path), tmp_path)
    assert "<title>OpenAI compatibility of http://127.0.0.1" in dom
    assert '<a href="#area-models">Models</a>' in dom
    assert dom.count("<details") == 2
    assert "<details open" not in dom
    assert "&lt;script&gt;" in dom
    assert "<script" not in dom
    assert "<img" not in dom
