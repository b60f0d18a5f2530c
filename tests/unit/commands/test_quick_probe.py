"""``up --probe``: one line on the closing card."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from llmserve.commands.quick_probe import with_probe
from llmserve.output import Output
from llmserve.result import Result
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviations import named
from tests.fakes.openai.settings import Settings
from tests.unit.commands.test_card import SERVER

CARD = Result(data={"name": "tiny"}, human="  URL        x\n\ncurl x", messages=("m",))


def _probed(server: FakeOpenAI) -> Result:
    ready = replace(SERVER, url=server.url, model="fake-chat", state="ready", key_file=None)
    return with_probe(CARD, ready, Output("human", out=io.StringIO(), err=io.StringIO()))


def test_the_card_has_a_line_more() -> None:
    with FakeOpenAI() as server:
        server.become(Settings(key=None))
        result = _probed(server)
        server.deviation = named("n05-no-usage")
        broken = _probed(server)
    row = next(line for line in result.human.splitlines() if line.startswith("  Probe"))
    assert re.search(r"pass; nothing breaks clients in \d+ of \d+ that decide it \(all of it: llmserve probe", row)
    assert result.human.endswith("\n\ncurl x")
    assert result.data["probe"]["drop_in"]["verdict"] == "unknown", "a few checks can say no, and never yes"
    assert "no drop-in: chat.usage.present" in broken.human


def test_a_probe_that_cannot_be_made_is_no_failure() -> None:
    ready = replace(SERVER, url="http://127.0.0.1:1/v1", state="ready", key_file=None)
    result = with_probe(CARD, ready, Output("human", out=io.StringIO(), err=io.StringIO()))
    assert result.human == CARD.human
    assert "nothing listens there" in result.messages[-1]
