"""What the probe reports of hosted providers, as their documents describe them."""

from __future__ import annotations

import pytest

from llmserve.probe.checks import catalogue
from tests.fakes.openai import FakeOpenAI
from tests.fakes.openai.hunt import outcomes
from tests.fakes.openai.profiles import PROFILES, Profile
from tests.fakes.openai.settings import Settings

TOLD = ("fail", "ignored", "unsupported")
CHECKS = [check for check in catalogue() if check.area not in ("sdk", "other")]


def _odd(server: FakeOpenAI) -> dict[str, str]:
    found = outcomes(server, CHECKS)
    assert not [one.check.id for one in found if one.finding.saw.startswith("internal error")]
    return {one.check.id: one.finding.verdict for one in found if one.finding.verdict in TOLD}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_what_is_reported(profile: Profile) -> None:
    with FakeOpenAI(Settings(reasoning=profile.settings.reasoning)) as server:
        usual = _odd(server)
        server.become(profile.settings, profile.deviation)
        found = {name: verdict for name, verdict in _odd(server).items() if usual.get(name) != verdict}
    assert found == dict(profile.found)
