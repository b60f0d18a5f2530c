"""Configurations of published models, recorded from public sources; per-layer lists are in no particular order."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[2] / "recordings" / "startups"


@cache
def _all() -> dict[str, Any]:
    read = [json.loads((_FOLDER / name).read_text(encoding="utf-8")) for name in ("more_configs.json", "configs.json")]
    return dict(read[0] | read[1])


def config(name: str) -> dict[str, Any]:
    """The configuration of a model, or of a recorded start-up that had one of its own."""
    entry = _all()[name]
    sections = {part: entry[part] for part in ("text_config", "vision_config") if part in entry}
    return dict(entry["config"]) | sections


def names() -> list[str]:
    return [name for name, entry in _all().items() if entry.get("config")]
