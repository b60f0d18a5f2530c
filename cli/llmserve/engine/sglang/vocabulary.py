"""Which flags an SGLang takes: written down for the release that plans are made for, asked of any other."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from llmserve import paths
from llmserve.engine.base import Environment
from llmserve.engine.sglang import launch

KNOWN = "0.5.23"
"""The release that plans are made for."""

Vocabulary = Mapping[str, frozenset[str]]
"""Option -> the values that it is limited to; none where it takes any value, or is a switch."""

_PATIENCE = 120.0  # seconds; importing torch from a cold network disk takes most of it
_OPTION = re.compile(r"(?<![\w-])--[A-Za-z0-9][\w-]*")
_CHOICES = re.compile(r"\{([^{}]*)\}")


def accepted(environment: Environment | None) -> Vocabulary | None:
    """What the SGLang in ``environment`` takes (None: the one that llmserve would install).

    Any release but :data:`KNOWN` is run once with ``--help``, which takes seconds; its answer is kept.
    None when it could not be asked.
    """
    if environment is None or environment.version == KNOWN:
        return known()
    file = _cache_file(environment)
    kept = _read(file)
    found = kept or _ask(environment)
    if found and file and not kept:
        with contextlib.suppress(OSError):
            paths.write_atomic(file, render(found))
    return found


def known() -> Vocabulary:
    file = paths.templates_dir() / "flags" / f"sglang-{KNOWN}.txt"
    return parse(file.read_text(encoding="utf-8"))


def parse(text: str) -> Vocabulary:
    """From lines of an option and its choices, blanks between."""
    lines = (line.split() for line in text.splitlines() if line.startswith("--"))
    return {option: frozenset(choices) for option, *choices in lines}


def render(vocabulary: Vocabulary) -> str:
    """What :func:`parse` reads."""
    return "".join(" ".join((name, *sorted(vocabulary[name]))) + "\n" for name in sorted(vocabulary))


def read_help(text: str) -> Vocabulary:
    """From what ``argparse`` prints: entries are indented by two blanks, what explains them by more."""
    found: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        if not line.startswith("  -"):
            continue
        entry = line.strip().split("  ")[0]
        limited = _CHOICES.search(entry)
        choices = frozenset(limited[1].split(",")) if limited else frozenset()
        found |= dict.fromkeys(_OPTION.findall(_CHOICES.sub("", entry)), choices)
    return found


def _ask(environment: Environment) -> Vocabulary | None:
    command = (environment.python, "-P", "-m", "sglang.launch_server", "--help")
    plain = {"COLUMNS": "200", "NO_COLOR": "1", "PYTHON_COLORS": "0", "FORCE_COLOR": ""}
    try:
        done = subprocess.run(
            command, env={**os.environ, **launch.platform(environment), **plain}, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", errors="replace", timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _sound(read_help(done.stdout)) if done.returncode == 0 else None


def _read(file: Path | None) -> Vocabulary | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return _sound(parse(file.read_text(encoding="utf-8"))) if file else None
    return None


def _sound(vocabulary: Vocabulary) -> Vocabulary | None:
    """None for what cannot be an SGLang's: a damaged file, a help of something else."""
    return vocabulary if "--model-path" in vocabulary else None


def _cache_file(environment: Environment) -> Path | None:
    """By release, interpreter and state of the package's files; None where these cannot be found."""
    package = _package(environment)
    if package is None:
        return None
    import hashlib  # loads OpenSSL, which plans for the release that is known do without

    sources = (package / "srt" / "server_args.py", *(package / "srt" / "arg_groups").rglob("*.py"))
    with contextlib.suppress(OSError):
        newest = max(path.stat().st_mtime_ns for path in sources)
        digest = hashlib.sha256(f"{environment.python}\0{package}\0{newest}".encode()).hexdigest()[:10]
        return paths.cache_dir() / "sglang-flags" / f"{environment.version}-{digest}.txt"
    return None


def _package(environment: Environment) -> Path | None:
    if environment.path:
        return next(Path(environment.path).glob("lib/python3*/site-packages/sglang"), None)
    spec = importlib.util.find_spec("sglang")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


__all__ = ["KNOWN", "Vocabulary", "accepted", "known", "parse", "read_help", "render"]
