"""The benchmark's page in a real browser: plots have data and answer to the pointer, and strangers' text stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmserve.bench.compare import Entry
from llmserve.bench.curves import SHARES
from llmserve.bench.report import page
from tests.browser.devtools import CHROMIUM, opened

EVIL = '</script><script>document.title="owned"</script><img src=x onerror="document.title=1">'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def _entry(label: str, factor: float) -> Entry:
    levels = [{"load": users, "tokens_per_s": 100 * users * factor, "goodput": users, "ttft_p95": 50 * users,
               "tpot_p95": 10 + users, "e2e_p95": 900 + users, "fits": users < 8, "why": EVIL}
              for users in (1, 2, 4, 8)]  # fmt: skip
    return Entry(
        label=label, tool="test", model=EVIL, base_url=EVIL, valid=True, over="concurrency", levels=levels,
        goals=[{"text": "ttft:p95<300ms", "metric": "ttft", "statistic": "p95", "bound": 300.0}],
        figures={"requests_ok": 100, "ttft_ms_p50": 40 * factor},
        curves={"ttft_ms": [share * factor for share in SHARES]}, answers=[EVIL], by_cause={EVIL: 2},
        timeline=[{"at": n, "ok": 5.0, "failed": 1.0, "tokens": 100.0 + n, "ttft_p50": 40.0} for n in range(10)],
    )  # fmt: skip


def test_the_page_draws_answers_to_the_pointer_and_runs_nothing_of_strangers(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page([_entry("before", 1.0), _entry(EVIL, 2.0)]), encoding="utf-8")
    with opened(path, tmp_path / "chromium", "--window-size=1280,1000") as shown:
        assert int(shown.wait("document.documentElement.dataset.drawn")) == 10
        titles = shown.value("[...document.querySelectorAll('figcaption')].map((one) => one.textContent).join('|')")
        assert "Throughput by load" in titles
        assert "Time to first token: distribution" in titles
        curves = shown.value("[...document.querySelectorAll('.curve')].map((one) => one.getAttribute('d').length)")
        assert len(curves) >= 10
        assert min(curves) > 20
        assert shown.value("document.querySelectorAll('.slo').length") >= 2
        shown.value("document.querySelector('svg').scrollIntoView()")
        box = shown.value("(({x, y, width, height}) => [x, y, width, height])"
                          "(document.querySelector('svg').getBoundingClientRect())")  # fmt: skip
        assert shown.value("document.querySelector('.tip').hidden") is True
        shown.hover(box[0] + box[2] * 0.99, box[1] + box[3] / 2)
        tip = shown.wait("!document.querySelector('.tip').hidden && document.querySelector('.tip').textContent")
        assert tip.startswith("before: 800 (users at a time 8)")
        assert shown.value("document.title").startswith("Benchmark of </script>")
        assert shown.value("document.images.length") == 0
        assert shown.value("document.body.scrollWidth <= window.innerWidth")
        assert shown.errors == []


def test_light_and_dark_have_colours_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page([_entry("one", 1.0)]), encoding="utf-8")
    with opened(path, tmp_path / "chromium") as shown:
        shown.wait("document.documentElement.dataset.drawn")
        seen = set()
        for scheme in ("light", "dark"):
            shown.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            seen.add(shown.value("getComputedStyle(document.querySelector('.curve')).stroke"))
        assert len(seen) == 2
