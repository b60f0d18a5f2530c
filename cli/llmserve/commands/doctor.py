"""``llmserve doctor``: what this machine has, and what that means for serving."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from llmserve import __version__, hardware
from llmserve.commands.options import Json, Quiet
from llmserve.hardware import visibility
from llmserve.hardware.checks import Check, Verdict, examine
from llmserve.hardware.disks import expanded, hub_home
from llmserve.hardware.machine import Machine
from llmserve.hardware.probe import reason
from llmserve.models.hub import settings as hub_settings
from llmserve.output.text import printable
from llmserve.records import from_json, to_json
from llmserve.result import Result

EXAMPLES = """\b
Examples:
  llmserve doctor                        what is here, what is in the way
  llmserve doctor --json > report.json   for a bug report, without secrets
  llmserve doctor --save this.json       a profile, to plan for it elsewhere
  llmserve doctor --machine h100x8       show a profile, not this machine
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SaveTo = Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the machine to a profile file.")]
Profile = Annotated[
    str | None, typer.Option("--machine", metavar="PROFILE", help="Show a profile, by name or file, instead.")
]


@app.command(epilog=EXAMPLES)
def doctor(machine: Profile = None, save: SaveTo = None, json: Json = False, quiet: Quiet = False) -> Result:
    """Show what this machine has, and what that means for serving.

    Ends with exit code 1 if something is bad; warnings leave it at 0.
    """
    del json, quiet
    if machine is None:
        seen = anonymous(hardware.detect())
        checks = [*examine(seen), *engine_checks(seen), *setting_checks(os.environ)]
    else:
        seen = anonymous(hardware.load(machine))
        checks = examine(seen)
    if save:
        hardware.save(seen, save)
    return report(seen, checks, messages=(f"Wrote {save}.",) if save else ())


def report(machine: Machine, checks: list[Check], *, messages: tuple[str, ...] = ()) -> Result:
    """Machine and verdicts as text, JSON and the one word of ``--quiet``: the worst verdict."""
    checks = [from_json(Check, _cleaned(to_json(check))) for check in checks]
    verdicts = [check.verdict for check in checks]
    worst = next((verdict for verdict in ("bad", "warn") if verdict in verdicts), "ok")
    width = min(shutil.get_terminal_size().columns, 100)
    data = {
        "verdict": worst,
        "versions": {"llmserve": __version__, "python": _python()},
        "machine": to_json(machine),
        "checks": [to_json(check) for check in checks],
    }
    text = layout(machine, checks, width=width)
    return Result(data=data, human=text, quiet=worst, messages=messages, exit_code=1 if worst == "bad" else 0)


def anonymous(machine: Machine) -> Machine:
    """The machine with ``~`` for the home folder, whose path says who the user is, and names safe to print."""
    return from_json(Machine, _cleaned(to_json(machine)))


def engine_checks(machine: Machine, found: Mapping[str, Any] | None = None) -> Iterator[Check]:
    """Which engines are installed, and whether one is that suits the machine.

    Args:
        found: engines by name, each with ``environment()``; those that llmserve knows by default.
    """
    found = _known_engines() if found is None else found
    suited = "sglang" if machine.gpus and machine.gpus[0].vendor != "apple" else "llamacpp"
    for name, engine in found.items():
        verdict, message = _engine_verdict(engine, wanted=name == suited, on_gpu=suited == "sglang")
        hint = "" if verdict == "ok" else f"Run `llmserve engine install {name}`."
        yield Check(section="Engines", name=name, verdict=verdict, message=message, hint=hint)


def _engine_verdict(engine: Any, *, wanted: bool, on_gpu: bool) -> tuple[Verdict, str]:
    try:
        place = engine.environment()
    except Exception as error:  # a broken environment is a finding, not the end of the report
        return "warn", f"its environment cannot be read: {reason(error)}"
    if place is None:
        return ("warn", "not installed") if wanted else ("ok", "not installed; this machine does not need it")
    where = place.path if place.managed and place.path else place.python
    message = f"{place.version} for {place.device}, {where}"
    if wanted and on_gpu and place.device == "cpu":
        return "warn", f"{message}; this machine has a GPU"
    return "ok", message


def _known_engines() -> Mapping[str, Any]:
    try:
        from llmserve.engine import engines

        return engines()
    except ImportError:
        return {}


def setting_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Hub settings, whether a token is there (never which), and the variables that choose GPUs."""
    endpoint = hub_settings.shown((environment.get("HF_ENDPOINT") or hub_settings.DEFAULT_ENDPOINT).partition("?")[0])
    offline = hub_settings.offline_variable(environment)
    token = token_source(environment)
    yield _setting("hub", f"{endpoint}, HF_HOME {hub_home(environment)}")
    if offline:
        yield _setting("offline", f"{offline} is set: only models in the cache can be served")
    yield _setting("token", f"configured in {token}" if token else "none; gated models need one (`hf auth login`)")
    given = [f"{name}={environment[name]}" for name in visibility.VARIABLES if name in environment]
    yield _setting("variables", ", ".join(given) or "none that chooses GPUs")


def _setting(name: str, message: str) -> Check:
    return Check(section="Settings", name=name, verdict="ok", message=message)


def token_source(environment: Mapping[str, str]) -> str | None:
    """Where huggingface_hub would find a token, or None; the token itself is not read."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environment.get(name, "").strip():
            return name
    path = expanded(environment.get("HF_TOKEN_PATH") or str(hub_home(environment) / "token"))
    try:
        return str(path) if path.stat().st_size else None
    except OSError:
        return None


def layout(machine: Machine, checks: list[Check], *, width: int = 80) -> str:
    """The report as text: sections of verdict, name and message, wrapped to ``width`` columns."""
    lines = [f"llmserve {__version__}, Python {_python()}: {' '.join(machine.name.split())}"]
    for section, members in groupby(checks, key=lambda check: check.section):
        lines += ["", section]
        for check in members:
            lines += _entry(check, width)
    if machine.notes:
        lines += ["", "Notes"]
        for note in machine.notes:
            lines += textwrap.wrap(note, width, initial_indent="  - ", subsequent_indent="    ")
    return printable("\n".join([*lines, "", _summary(checks)]))


def _entry(check: Check, width: int) -> Iterator[str]:
    margin = " " * 19
    yield from _wrapped(check.message, f"  {check.verdict:<4}  {check.name:<10} ", margin, width)
    for detail in check.details:
        yield from _wrapped(detail, margin, margin, width)
    if check.hint:
        yield from _wrapped(check.hint, f"{margin}-> ", f"{margin}   ", width)


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    """Long paths are not broken: they are there to be copied."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def _summary(checks: list[Check]) -> str:
    bad = sum(check.verdict == "bad" for check in checks)
    warnings = sum(check.verdict == "warn" for check in checks)
    if not bad and not warnings:
        return "Nothing stands in the way."
    said = [f"{bad} bad"] if bad else []
    said += [f"{warnings} warning{'' if warnings == 1 else 's'}"] if warnings else []
    return f"{', '.join(said)}: see the lines with ->."


def _without_home(text: str) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return re.sub(rf"(?<![\w.-]){re.escape(home)}(?![\w-]|\.\w)", "~", text) if len(home) > 1 else text


def _cleaned(value: Any) -> Any:
    """JSON data whose strings are safe to print and do not show the home folder."""
    if isinstance(value, str):
        return printable(_without_home(value))
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    return value


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])
