"""It detects: OpenAI's own answers pass every check, and each deviation from them is found in its area.

Only the checks of the areas that must find a deviation are run here. ``make test-deviations`` runs all of them on each,
and sees that nothing else fails beyond what the deviation says must follow.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmserve.probe.check import AREAS, Check
from llmserve.probe.checks import catalogue
from llmserve.probe.runner import Outcome
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.deviations import ALL, HARMLESS
from tests.fakes.openai.hunt import NEVER, bad, hunt, outcomes
from tests.fakes.openai.settings import Settings

SEARCHED = [area for area in AREAS if any(deviation.areas[:1] == (area,) for deviation in ALL)]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


def _checks(*areas: str) -> list[Check]:
    return [check for check in catalogue() if (check.area in areas if areas else check.area != "sdk")]


@pytest.mark.parametrize("reasoning", ["", "reasoning_content", "reasoning"])
def test_openai_itself_has_no_failure(server: FakeOpenAI, reasoning: str) -> None:
    server.become(Settings(reasoning=reasoning))
    found = outcomes(server, _checks())
    assert not bad(found), [(one.check.id, one.finding.saw) for one in bad(found)]
    odd = {one.check.id for one in found if one.finding.verdict in ("unsupported", "inconclusive")}
    unsupported = {*NEVER, "tools.functions", *(check.id for check in _checks("other"))}
    assert reasoning or odd <= unsupported, "what needs more tokens than thoughts leave cannot be shown"


def test_an_open_server_has_no_failure(server: FakeOpenAI) -> None:
    server.become(Settings(key=None))
    found = bad(outcomes(server, _checks("auth", "models", "transport")))
    assert not found, [(one.check.id, one.finding.saw) for one in found]


@pytest.mark.parametrize("deviation", HARMLESS, ids=lambda deviation: deviation.name)
def test_what_hurts_nobody_fails_nothing(server: FakeOpenAI, deviation: Deviation) -> None:
    found = hunt(server, deviation, _checks("streaming", "chat", "tools-streamed", "structured"))
    assert not found.failed, [(one.check.id, one.finding.saw) for one in found.failed]


@pytest.mark.parametrize("area", SEARCHED)
def test_each_deviation_is_found(server: FakeOpenAI, area: str) -> None:
    wanted = [deviation for deviation in ALL if deviation.areas[0] == area]
    hunts = [hunt(server, deviation, _checks(*deviation.areas)) for deviation in wanted]
    missed = [one.deviation.name for one in hunts if not one.found]
    broken = [(one.deviation.name, fail.check.id) for one in hunts for fail in one.failed if _is_internal(fail)]
    print(f"{area}: {len(wanted) - len(missed)}/{len(wanted)} deviations found")
    assert not missed
    assert not broken


def _is_internal(outcome: Outcome) -> bool:
    return outcome.finding.saw.startswith("internal error")


def test_deviations_have_names_of_their_own() -> None:
    names = [deviation.name for deviation in (*ALL, *HARMLESS)]
    assert len(set(names)) == len(names)
    assert len(ALL) >= 200
