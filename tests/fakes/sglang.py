"""An SGLang of any release, as far as its flags go, and plans that are nothing but flags."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from llmserve.engine.base import Environment
from llmserve.engine.sglang import vocabulary
from llmserve.engine.sglang.vocabulary import Vocabulary
from llmserve.plan.plan import Flag, Plan
from tests.fakes.plans import qwen3_8b_plan

OWN = ("--model-path", "--served-model-name", "--host", "--port", "--config")
"""What every launch uses."""


def flags(*words: str, reason: str = "why") -> tuple[Flag, ...]:
    """Flags from "--name value" or "--name"."""
    pairs = (word.partition(" ") for word in words)
    return tuple(Flag(name=name, value=value or None, reason=reason) for name, _, value in pairs)


def texts(found: Iterable[Flag]) -> list[str]:
    return [flag.name if flag.value is None else f"{flag.name} {flag.value}" for flag in found]


def takes(*words: str) -> Vocabulary:
    """A vocabulary from "--name" or "--name choice choice"."""
    return vocabulary.parse("\n".join(words))


def plan(*words: str, notes: tuple[str, ...] = ()) -> Plan:
    return qwen3_8b_plan(flags=flags(*words), notes=notes)


SERVER = """
import argparse, os, pathlib, sys
calls = pathlib.Path(__file__).with_name("calls")
calls.write_text((calls.read_text() if calls.exists() else "") + os.environ.get("SGLANG_PLATFORM", "none") + " ")
print("a warning of an import")
parser = argparse.ArgumentParser()
for word in {options!r}:
    parser.add_argument(word)
parser.add_argument("--tool-call-parser", choices=["hermes", "qwen25"])
parser.add_argument("--explained", help="%(prog)s " * 90)
sys.exit({code}) if {code} else parser.parse_args()
"""


class FakeSGLang:
    """An environment with an SGLang of some other release, which takes few flags."""

    def __init__(self, folder: Path, version: str, *options: str, code: int = 0, managed: bool = True) -> None:
        site = folder / "lib" / "python3.11" / "site-packages"
        self.package = site / "sglang"
        (self.package / "srt").mkdir(parents=True)
        (self.package / "__init__.py").touch()
        (self.package / "srt" / "server_args.py").touch()
        (self.package / "launch_server.py").write_text(SERVER.format(options=options or OWN, code=code))
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        self.environment = Environment(
            engine="sglang", version=version, python=str(python), managed=managed, path=str(folder)
        )

    @property
    def calls(self) -> list[str]:
        file = self.package / "calls"
        return file.read_text().split() if file.exists() else []
