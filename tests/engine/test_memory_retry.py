"""A start that memory is missing for: one flag is changed, once, and said; or nothing is tried, if that is wished.

The limit is real (RLIMIT_DATA) and lies between what the engine takes with the whole context and with half of it.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmserve.models import builtin
from tests.engine.conftest import Cli, require

pytestmark = pytest.mark.engine
CONTEXT = 262_144
UP = ("up", "./long.gguf", "--engine", "llamacpp", "--context", str(CONTEXT), "--concurrency", "1", "--port", "0", "-d")


@pytest.fixture
def limit(cli: Cli) -> int:
    """KiB that half of the context fits into and the whole does not, as this machine allocates."""
    require("llamacpp")
    key = b"llama.context_length" + struct.pack("<I", 4)
    weights = builtin.build("gguf").read_bytes()
    assert weights.count(key + struct.pack("<I", 2048)) == 1
    (cli.home / "long.gguf").write_bytes(
        weights.replace(key + struct.pack("<I", 2048), key + struct.pack("<I", CONTEXT))
    )
    whole, half = taken(cli), taken(cli, "--", "--ctx-size", str(CONTEXT // 2))
    assert whole - half > 100_000
    return (whole + half) // 2


def taken(cli: Cli, *more: str) -> int:
    """KiB of data that a ready engine has."""
    body = json.loads(cli.run(*UP, "--json", *more).stdout)
    pid = body["data"]["process"]["pid"]
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    assert cli.run("down").returncode == 0
    return int(status.partition("VmData:")[2].split()[0])


def limited(cli: Cli, limit: int, *more: str) -> dict[str, Any]:
    command = [
        "sh",
        "-c",
        f'ulimit -d {limit}; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "llmserve",
        *UP,
        "--json",
        *more,
    ]
    done = subprocess.run(command, env=cli.environment(), cwd=cli.home, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout))


def test_a_start_short_of_memory_is_tried_again_with_one_flag_changed(cli: Cli, limit: int) -> None:
    body = limited(cli, limit)
    assert body["status"] == "ok", body
    eased = body["data"]["eased"]
    assert (eased["flag"], eased["before"], eased["after"]) == ("--ctx-size", str(CONTEXT), str(CONTEXT // 2))
    assert body["data"]["facts"]["context"] == CONTEXT // 2
    shown = cli.run("status").stdout
    assert f"--ctx-size {CONTEXT // 2}" in shown
    assert "memory" in shown
    assert cli.run("down").returncode == 0

    refused = limited(cli, limit, "--no-retry")
    assert (refused["exit_code"], refused["errors"][0]["code"]) == (3, "out_of_memory"), refused
    failed = cli.json("ps", "--all")["data"]["servers"][0]
    assert (failed["state"], failed["eased"]) == ("failed", None)
    assert cli.run("down", "--all").returncode == 0
