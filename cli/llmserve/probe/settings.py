"""What a run of the probe may do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``only`` and ``skip`` are globs over check ids and area names (``chat.*``, ``tools``, ``*usage*``). ``allow``
    names what else may be done: ``delete``, ``files``, ``paid``, ``burst``. Times are seconds: ``timeout_s`` bounds one
    exchange, ``wait_s`` all waiting for rate limits together. ``budget_tokens`` bounds prompt and completion tokens."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    quick: bool = False
    allow: tuple[str, ...] = ()
    concurrency: int = 1
    budget_tokens: int | None = None
    timeout_s: float = 60.0
    wait_s: float = 120.0
