"""The engine inside SGLang's image: its command, its variables, its key. Shared by all targets with containers."""

from __future__ import annotations

import secrets

from llmserve.deploy.deployment import SECRETS, Deployment, File
from llmserve.engine.base import PRIVATE_DIR

CACHE = "/cache"
PLACEHOLDER = "sk-placeholder-of-an-export"
"""Stands for the key while the command is made; only files that are secret hold the real one."""

READY = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/ready', timeout=5)"


def command(deployment: Deployment) -> list[str]:
    """The words of the container: what ``up`` would run, with the key's file where the container has it."""
    return [word.replace(PRIVATE_DIR, SECRETS) for word in deployment.launch.argv]


def variables() -> dict[str, str]:
    """Caches in one volume; nothing is reported to anybody. Weights are fetched by the engine, so it is not offline."""
    return {
        "HF_HOME": f"{CACHE}/huggingface",
        "HF_TOKEN_PATH": f"{SECRETS}/hf-token",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HOME": CACHE,
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
    }


def secret_files(deployment: Deployment, folder: str) -> dict[str, File]:
    """The engine's key, made once, and an empty place for a token of the hub."""
    key = f"sk-{secrets.token_urlsafe(32)}"
    made = {
        f"{folder}/{name}": File(text=text.replace(PLACEHOLDER, key), secret=True)
        for name, text in deployment.launch.files.items()
    }
    return {
        **made,
        f"{folder}/hf-token": File(text="", secret=True),
        f"{folder}/.gitignore": File(text="*\n"),
    }


def file_names(deployment: Deployment) -> list[str]:
    return [*deployment.launch.files, "hf-token"]


def ready_test(port: int) -> list[str]:
    """A command that succeeds once the engine says that it is ready; the image's Python needs no curl."""
    return ["python3", "-c", READY.format(port=port)]
