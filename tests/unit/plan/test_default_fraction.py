from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.models.layers import LatentLayers, Vision
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import default_fraction
from tests.unit.plan.test_pool import gqa, model

MIB = 1024**2
TEXT = model(gqa(32, 8))
LATENT = model(LatentLayers(layers=61, latent_dim=512, rope_dim=64))


def fraction(served: Model, total: int, tp: int, *, groups: int = 1, version: str = "") -> float:
    chunk, batch = default_fraction.sizes(total * MIB, tp)
    arrangement = Arrangement(tensor_parallel=tp, attention_data_parallel=groups)
    return default_fraction.fraction(
        served, total * MIB, arrangement, chunk=chunk, batch=batch, graphs=True, version=version
    )


@pytest.mark.parametrize(
    ("total", "tp", "expected"),
    [
        (15_360, 1, 0.735), (23_034, 1, 0.684), (24_564, 2, 0.698), (32_607, 1, 0.777), (40_960, 4, 0.807),
        (81_559, 1, 0.830), (81_559, 8, 0.812), (143_771, 8, 0.893), (183_359, 1, 0.854), (275_040, 8, 0.899),
    ],
)  # fmt: skip
def test_the_fraction_of_0_5_23_by_card(total: int, tp: int, expected: float) -> None:
    assert fraction(TEXT, total, tp) == expected


def test_latent_attention_and_its_groups_keep_more_free() -> None:
    assert fraction(LATENT, 81_559, 8) == 0.799
    assert fraction(LATENT, 81_559, 8, groups=8) == 0.573


def test_encoders_keep_more_free_by_the_fields_that_sglang_reads() -> None:
    small = Vision(layers=27, hidden_size=1024, named_width=1024)
    large = Vision(layers=45, hidden_size=3200, named_layers=45, named_width=3200)
    assert fraction(replace(TEXT, vision=small), 81_559, 1) == pytest.approx(0.830 * 0.95)
    assert fraction(replace(TEXT, vision=large), 81_559, 1) == pytest.approx(0.830 * 0.95 * 0.8)


def test_old_releases_had_a_table() -> None:
    assert [fraction(TEXT, 81_559, tp, version="0.4.4") for tp in (1, 2, 4, 8)] == [0.88, 0.87, 0.85, 0.81]


def test_a_guess_spans_what_it_may_be() -> None:
    one = Arrangement()
    assert default_fraction.spread(0.83, TEXT, one, word="auto", version="0.5.23") == (0.83, 0.83)
    assert default_fraction.spread(0.83, TEXT, one, word="auto", version="") == (0.83, 0.88)
    assert default_fraction.spread(0.83, TEXT, one, word="unknown", version="0.5.23") == (0.7, 0.95)
