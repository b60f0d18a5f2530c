"""How fast earlier downloads were, kept from run to run, so that a plan can say how long its fetch will take."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from llmserve import paths
from llmserve.models.hub import settings as hub_settings

KEPT = 8
"""Downloads that are remembered for each hub."""

_HUBS = 20
_LEAST_BYTES, _LEAST_SECONDS = 8 * 1024**2, 0.5  # below this a rate is mostly the time of a few answers


def expected(endpoint: str) -> float | None:
    """Bytes per second to expect from a hub: the median of the latest downloads; None before the first."""
    seen = _load().get(hub_settings.shown(endpoint))
    return sorted(seen)[len(seen) // 2] if seen else None


def note(endpoint: str, fetched_bytes: int, seconds: float) -> None:
    """Remember one download; small ones say nothing. A state folder that cannot be written is passed over.

    Two processes that end at the same moment may lose one figure, which is no loss to a median.
    """
    if fetched_bytes < _LEAST_BYTES or seconds < _LEAST_SECONDS:
        return
    known, endpoint = _load(), hub_settings.shown(endpoint)
    rates = [*known.pop(endpoint, []), round(fetched_bytes / seconds)][-KEPT:]
    latest = dict([*known.items(), (endpoint, rates)][-_HUBS:])
    with contextlib.suppress(OSError):
        paths.write_atomic(_file(), json.dumps(latest))


def _file() -> Path:
    return paths.state_dir() / "rates.json"


def _load() -> dict[str, list[float]]:
    """What can be read of the record; a damaged one counts as none."""
    try:
        content = json.loads(_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    hubs = content.items() if isinstance(content, dict) else ()
    return {hub: found for hub, rates in hubs if (found := _plausible(rates))}


def _plausible(rates: object) -> list[float]:
    return [rate for rate in rates if type(rate) in (int, float) and 0 < rate < 1e12] if isinstance(rates, list) else []
