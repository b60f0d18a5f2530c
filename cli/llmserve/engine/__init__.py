"""Inference engines behind one contract, and the servers they become."""

from __future__ import annotations

import difflib

from llmserve.engine.base import Engine, Environment
from llmserve.errors import LlmserveError, UsageError


def engines() -> dict[str, Engine]:
    """Every engine by name, the default for GPUs first."""
    from llmserve.engine.llamacpp import LlamaCpp
    from llmserve.engine.sglang import SGLang

    return {engine.name: engine for engine in (SGLang(), LlamaCpp())}


def engine(name: str) -> Engine:
    """The engine called ``name``.

    Raises:
        UsageError: there is none; names the nearest.
    """
    known = engines()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"There is no engine called {name!r}.",
        hint=f"Did you mean {near[0]}?" if near else f"Engines: {', '.join(known)}.",
        code="unknown_engine",
    )


def environment(name: str) -> Environment:
    """Where the engine called ``name`` is installed.

    Raises:
        LlmserveError: it is not installed; says how to install it.
    """
    found = engine(name).environment()
    if found is None:
        raise LlmserveError(
            f"The engine {name} is not installed.", hint=f"Run `llmserve engine install {name}`.", code="engine_missing"
        )
    return found
