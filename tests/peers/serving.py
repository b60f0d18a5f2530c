"""Starts the servers and routers that ``install.py`` set up, for tests of what talks to them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmserve.models import builtin

HOME = Path(sys.prefix) / "peers"
PATIENCE = 600.0
"""Seconds until a server answers: vLLM takes half a minute on a quiet machine."""

CONTEXT = 2048
ROUTER_KEY = "sk-litellm-of-this-test"  # the proxy does not start without one


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running server. ``base_url`` ends in ``/v1``; the model is called ``model``; ``api_key`` None: it takes any."""

    name: str
    base_url: str
    model: str
    api_key: str | None = None


@contextlib.contextmanager
def vllm(folder: Path, *, api_key: str | None = None) -> Iterator[Peer]:
    """vLLM on the CPU with the built-in tiny model; its log and caches in ``folder``."""
    port = free_port()
    argv = [
        "-m", "vllm.entrypoints.openai.api_server", "--model", str(builtin.build("safetensors")),
        "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager",
        "--max-model-len", str(CONTEXT), "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
    ]  # fmt: skip
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    env |= {"VLLM_API_KEY": api_key} if api_key else {}
    with _process("vllm", [str(_python("vllm")), *argv], folder, env) as process:
        url = f"http://127.0.0.1:{port}/v1"
        yield _ready(Peer(name="vllm", base_url=url, model="tiny", api_key=api_key), folder, process)


@contextlib.contextmanager
def litellm(folder: Path, upstream: Peer) -> Iterator[Peer]:
    """LiteLLM's proxy in front of ``upstream``, as its documents configure an OpenAI-compatible server."""
    port = free_port()
    route = {"model": f"openai/{upstream.model}", "api_base": upstream.base_url, "api_key": "none"}
    config = folder / "litellm.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [{"model_name": upstream.model, "litellm_params": route}]}))
    argv = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True", "LITELLM_MASTER_KEY": ROUTER_KEY}
    with _process("litellm", [str(_python("litellm")), "-m", "litellm.proxy.proxy_cli", *argv], folder, env) as process:
        url = f"http://127.0.0.1:{port}/v1"
        yield _ready(Peer(name="litellm", base_url=url, model=upstream.model, api_key=ROUTER_KEY), folder, process)


@contextlib.contextmanager
def sglang_router(folder: Path, upstreams: Sequence[Peer]) -> Iterator[Peer]:
    """SGLang's router in front of ``upstreams``."""
    port, metrics = free_port(), free_port()
    argv = [
        "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port), "--prometheus-port",
        str(metrics), "--worker-urls", *(one.base_url.removesuffix("/v1") for one in upstreams),
    ]  # fmt: skip
    with _process("sglang-router", [str(_python("sglang-router")), *argv], folder, {}) as process:
        peer = Peer(name="sglang-router", base_url=f"http://127.0.0.1:{port}/v1", model=upstreams[0].model)
        yield _ready(peer, folder, process)


@contextlib.contextmanager
def transformers(folder: Path) -> Iterator[Peer]:
    """``transformers serve`` on the CPU with the built-in tiny model, which is called by its path."""
    port, model = free_port(), str(builtin.build("safetensors"))
    main = "from transformers.cli.transformers import main; main()"
    argv = ["-c", main, "serve", model, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    env = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    with _process("transformers", [str(_python("transformers")), *argv], folder, env) as process:
        peer = Peer(name="transformers", base_url=f"http://127.0.0.1:{port}/v1", model=model)
        yield _ready(peer, folder, process)


def require(name: str) -> None:
    """Skip the test where ``make`` has not set the peer up; `make test` does, so there its absence is a failure."""
    if (HOME / name / ".ready").exists():
        return
    message = f"{name} is not set up: make peers"
    if os.environ.get("LLMSERVE_TEST_ALL_ENGINES"):
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _python(name: str) -> Path:
    return HOME / name / "bin" / "python"


@contextlib.contextmanager
def _process(name: str, argv: list[str], folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """One peer in a session of its own, which ends with the block."""
    own = {"HOME": str(folder), "TMPDIR": str(folder), **env}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env={**os.environ, **own}, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)


def _ready(peer: Peer, folder: Path, process: subprocess.Popen[bytes]) -> Peer:
    """Wait for a first answer of the model: a router may list models before it knows where they are."""
    body = {"model": peer.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {peer.api_key or 'none'}"}
    question = urllib.request.Request(f"{peer.base_url}/chat/completions", json.dumps(body).encode(), headers)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(question, timeout=60) as answer:
            if answer.status == 200:
                return peer
        time.sleep(0.2)
    log = (folder / f"{peer.name}.log").read_text(errors="replace")
    raise AssertionError(f"{peer.name} gave no answer:\n{log[-4000:]}")
