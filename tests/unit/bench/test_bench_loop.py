"""The loop itself, where a command could only be unlucky."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from llmserve.bench.connection import resolve
from llmserve.bench.drive import Drive
from llmserve.bench.loop import Loop
from llmserve.bench.payload import Form
from llmserve.bench.records import Request
from llmserve.bench.table import Table
from tests.fakes.paced_process import paced


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with paced() as one:
        yield one.url


def requests(url: str) -> Iterator[Request]:
    payload = Form(base_url=url, api="chat", model="paced").payload([{"role": "user", "content": "a b"}], 4)
    while True:
        yield Request(payload=payload)


@pytest.mark.parametrize(("connections", "sent"), [(8, 5), (2, 2)])
def test_what_was_due_before_the_end_is_sent_however_late_the_loop_is(url: str, connections: int, sent: int) -> None:
    """Five are due at once, and the time for sending is over when the loop looks first; a cap is another matter."""
    parts = urlsplit(url)
    target = resolve(parts.hostname or "", parts.port or 80, tls=False)
    with closing(Loop(target, "chat", Table())) as loop:
        loop.run(
            Drive(requests=requests(url), connections=connections, arrivals=iter([0.0] * 5), until_s=0.0, drain_s=300.0)
        )
        causes = [row.cause for row in loop.table]
    assert (causes.count(""), causes.count("interrupted")) == (sent, 5 - sent)
