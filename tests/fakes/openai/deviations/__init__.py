"""Every deviation, by name."""

from __future__ import annotations

from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.deviations import (
    behaviours,
    chat,
    completions,
    formats,
    grids,
    messages,
    parameters,
    responses,
    streaming,
    tools,
    transport,
)

__all__ = ["ALL", "HARMLESS", "named"]

ALL: tuple[Deviation, ...] = (
    *transport.DEVIATIONS,
    *chat.DEVIATIONS,
    *parameters.DEVIATIONS,
    *messages.DEVIATIONS,
    *streaming.DEVIATIONS,
    *tools.DEVIATIONS,
    *formats.DEVIATIONS,
    *completions.DEVIATIONS,
    *responses.DEVIATIONS,
    *grids.DEVIATIONS,
    *behaviours.DEVIATIONS,
)
HARMLESS: tuple[Deviation, ...] = streaming.HARMLESS


def named(name: str) -> Deviation:
    return {deviation.name: deviation for deviation in (*ALL, *HARMLESS)}[name]
