"""Nothing else fails: with a deviation switched on, only its own areas and those that read the same bytes may see it.

Every check runs on a sample of the deviations; on all of them where ``LLMSERVE_TEST_ALL_CHECKS`` is set, which takes a
quarter of an hour.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from llmserve.probe.checks import catalogue
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.deviations import ALL
from tests.fakes.openai.hunt import hunt

CHECKS = [check for check in catalogue() if check.area != "sdk"]
CHOSEN = ALL if os.environ.get("LLMSERVE_TEST_ALL_CHECKS") else ALL[7::41]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.mark.parametrize("deviation", CHOSEN, ids=lambda deviation: deviation.name)
def test_nothing_else_fails(server: FakeOpenAI, deviation: Deviation) -> None:
    found = hunt(server, deviation, CHECKS)
    assert found.found
    assert not found.strange, [(one.check.id, one.finding.saw) for one in found.strange]
