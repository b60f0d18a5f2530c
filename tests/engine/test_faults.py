"""Bad input and faults: one sentence, the next step, the right exit code, and nothing left running."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve import models
from tests.engine.conftest import ENGINES, KEY, Cli, require
from tests.engine.test_lifecycle import record, wait_for

pytestmark = pytest.mark.engine
both_engines = pytest.mark.parametrize("engine", ENGINES)


def refused(cli: Cli, *args: str, code: int, says: str, timeout: float = 120, env: dict[str, str] | None = None) -> str:
    """Run ``up`` and check the shape of its refusal; returns what it wrote to stderr."""
    done = cli.run("up", *args, timeout=timeout, env=env)
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == code, done.stderr
    assert len(last) == 1, done.stderr
    assert re.search(says, last[0]), last[0]
    assert done.stderr.splitlines()[-1].startswith("  "), "a refusal ends with what to type next"
    assert "Traceback" not in done.stderr
    wait_for(lambda: not cli.processes(), 15)
    assert cli.litter() == []
    return done.stderr


@pytest.fixture
def tiny(cli: Cli) -> Path:
    """A copy of the built-in safetensors model that a test may break."""
    copy = cli.home / "model"
    built = models.fetch(models.describe(models.resolve("tiny"), "safetensors"))
    shutil.copytree(built, copy, ignore=shutil.ignore_patterns("*.gguf"))
    return copy


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_an_unknown_name_gets_the_nearest_ones(cli: Cli) -> None:
    assert "llama-3-8b" in refused(cli, "lama-3-8b", code=2, says="lama-3-8b")


def test_a_port_in_use_is_said_with_its_owner_before_anything_is_loaded(cli: Cli, busy_port: int) -> None:
    began = time.monotonic()
    says = rf"Port {busy_port} is in use by .*pid {os.getpid()}"
    refused(cli, "tiny", "--engine", "llamacpp", "--port", str(busy_port), code=1, says=says)
    assert not (cli.home / "state/llmserve/servers/tiny").exists()
    assert time.monotonic() - began < 10


def test_what_does_not_fit_is_refused_with_the_missing_gib(cli: Cli) -> None:
    refused(cli, "tiny", "--reserve", "4TiB", code=3, says=r"[\d.]+ GiB are missing")


def test_more_requests_than_the_engine_can_answer_are_refused(cli: Cli) -> None:
    refused(cli, "tiny", "--concurrency", "999999999", code=2, says="at most 256 requests at a time")


def test_a_missing_engine_is_said_with_the_command_that_installs_it(cli: Cli) -> None:
    env = {"XDG_DATA_HOME": str(cli.home / "data")}
    err = refused(cli, "tiny", "--engine", "sglang", code=1, says="sglang is not installed", env=env)
    assert "llmserve engine install sglang" in err


@pytest.mark.parametrize("flag", ["--host", "--port=1", "--api-key", "--api_key", "--api-k", "--model-path", "--alias"])
def test_what_llmserve_answers_for_is_not_the_engines_to_change(cli: Cli, flag: str) -> None:
    err = refused(cli, "tiny", "--", flag, "x", code=2, says="cannot be given to the engine")
    assert "llmserve's own" in err


def test_an_unreachable_hub_is_named(cli: Cli) -> None:
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(cli.home / "hub")}
    refused(cli, "qwen2.5-0.5b", code=1, says=r"http://127\.0\.0\.1:9", env=env)


def test_without_a_hub_the_default_is_the_tiny_model_and_says_why(cli: Cli) -> None:
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(cli.home / "hub")}
    done = cli.run("up", "-d", "--port", "0", env=env)
    assert done.returncode == 0, done.stderr
    assert "The weights are random" in done.stdout
    assert "http://127.0.0.1:9" in done.stdout
    assert cli.run("down").returncode == 0


def test_truncated_weights_are_found_before_the_engine_starts(cli: Cli, tiny: Path) -> None:
    weights = tiny / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1000)
    refused(cli, str(tiny), code=2, says=r"model\.safetensors.*(truncated|missing|incomplete)")


def test_a_missing_tokenizer_is_named(cli: Cli, tiny: Path) -> None:
    (tiny / "tokenizer.json").unlink()
    refused(cli, str(tiny), code=2, says="tokenizer")


@both_engines
def test_a_flag_that_the_engine_refuses(cli: Cli, engine: str) -> None:
    require(engine)
    refused(cli, "tiny", "--engine", engine, "--port", "0", "--", "--no-such-flag", code=2, says="--no-such-flag")


@pytest.mark.sglang
def test_an_architecture_that_the_engine_does_not_know(cli: Cli, tiny: Path) -> None:
    require("sglang")
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**config, "architectures": ["NoSuchModelForCausalLM"]}))
    refused(cli, str(tiny), "--engine", "sglang", "--port", "0", code=6, says="NoSuchModelForCausalLM")


@pytest.mark.sglang
def test_an_engine_killed_while_loading(cli: Cli) -> None:
    require("sglang")
    up = cli.popen("up", "tiny", "--engine", "sglang", "--port", "0")
    server = wait_for(lambda: (one := record(cli)).get("process") and one)
    time.sleep(4)
    os.kill(server["process"]["pid"], signal.SIGKILL)
    _, err = up.communicate(timeout=60)
    assert up.returncode == 6, err
    assert "Traceback" not in err
    wait_for(lambda: not cli.processes(), 15)


@pytest.mark.sglang
def test_a_port_taken_while_loading_is_never_called_ready(cli: Cli) -> None:
    """SGLang binds last, and its warm-up then talks to the other program and prints that it is ready."""
    require("sglang")
    cli.env = {"LLMSERVE_API_KEY": KEY}
    with subprocess.Popen(
        ["python3", "-c", _THIEF], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as thief:  # fmt: skip
        up = cli.popen("up", "tiny", "--engine", "sglang", "--port", "0")
        server = wait_for(lambda: (one := record(cli)).get("process") and one)
        assert thief.stdin
        thief.stdin.write(f"{server['port']}\n")
        thief.stdin.flush()
        out, err = up.communicate(timeout=120)
        thief.kill()
        assert KEY not in (thief.stdout.read() if thief.stdout else "")
    assert up.returncode == 1, err
    assert f"Port {server['port']} was taken" in err
    assert "is ready" not in out
    wait_for(lambda: not cli.processes(), 15)


_THIEF = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.command, self.path, self.headers.get("Authorization"), flush=True)
        body = json.dumps({"data": [], "model_path": "x", "is_generation": True}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(input())), Handler).serve_forever()
"""


def test_not_ready_in_time(cli: Cli) -> None:
    refused(
        cli, "tiny", "--engine", "llamacpp", "--wait-timeout", "0.01", "--port", "0", code=5, says="not ready within"
    )
