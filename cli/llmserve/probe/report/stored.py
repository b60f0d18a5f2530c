"""Reports from files, and the profiles of servers that ship with llmserve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.errors import UsageError
from llmserve.probe.report import traits

__all__ = ["load", "profile", "profiles"]

_KEPT = ("id", "area", "title", "severity", "verdict", "saw")


def profiles() -> list[str]:
    """Names of the shipped ones: servers as they were measured, each with its version."""
    return sorted(path.stem for path in _folder().glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """The report in the file ``name``, or the shipped profile of that name.

    Raises:
        UsageError: there is neither, or the file holds no report.
    """
    shipped = _folder() / f"{name}.json"
    path = shipped if name in profiles() else Path(name)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        hint = f"Give a URL, a file that `llmserve probe --json` wrote, or one of: {', '.join(profiles())}."
        raise UsageError(f"No report can be read from {name}: {why}.", hint=hint) from error
    report = found.get("data", found) if isinstance(found, dict) else {}
    if not {"endpoint", "checks"} <= report.keys() or not {"exchanges", "traits"} & report.keys():
        raise UsageError(f"{name} holds no report of the probe.", hint="Write one with `llmserve probe --json > FILE`.")
    return dict(report)


def profile(report: dict[str, Any], name: str) -> dict[str, Any]:
    """A report made small, to be kept: verdicts and traits, without evidence and without an address."""
    checks = [{key: check[key] for key in _KEPT} | {"saw": check["saw"][:200]} for check in report["checks"]]
    endpoint = {"base_url": name, "model": "", "server": report["endpoint"]["server"]}
    return {
        "format": report["format"], "llmserve": report["llmserve"], "made_at": report["made_at"],
        "endpoint": endpoint, "checks": checks, "traits": traits.of_report(report),
    }  # fmt: skip


def _folder() -> Path:
    return paths.templates_dir() / "probe" / "profiles"
