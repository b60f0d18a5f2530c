"""The command that starts SGLang for a plan."""

from __future__ import annotations

import json
import os

from llmserve import paths
from llmserve.engine.base import PRIVATE_DIR, Environment, Launch, Serving
from llmserve.errors import UsageError
from llmserve.plan.plan import Plan

CONFIG = "sglang.yaml"


def launch(serving: Serving) -> Launch:
    """``python -m sglang.launch_server`` with the plan's flags; a key goes through a private file, never through argv.

    Raises:
        UsageError: the user's flags and the key's file exclude each other, or SGLang cannot take the key.
    """
    key, extra = serving.api_key, serving.extra
    _check(key, extra)
    own = ("--model-path", serving.model_path, "--served-model-name", serving.served_name)
    where = ("--host", serving.address.host, "--port", str(serving.address.port))
    planned = tuple(word for flag in serving.plan.flags for word in (flag.name, flag.value) if word is not None)
    # -P keeps the folder that llmserve was called from off the import path
    python = (serving.environment.python, "-P", "-m", "sglang.launch_server")
    return Launch(
        argv=(*python, *(("--config", f"{PRIVATE_DIR}/{CONFIG}") if key else ()), *own, *where, *planned, *extra),
        env=_environment(serving.plan, serving.environment),
        files={CONFIG: _config(key, serving.admin_key)} if key else {},
        secrets=tuple(secret for secret in (key, serving.admin_key) if secret),
    )


def _config(key: str, admin_key: str | None) -> str:
    """Without an admin key the API key opens the management routes too: loading other weights, ending requests."""
    lines = {"api-key": key} | ({"admin-api-key": admin_key} if admin_key else {})
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in lines.items())


def _environment(plan: Plan, environment: Environment) -> dict[str, str]:
    """The weights are on the disk by now: nothing may be fetched, and nothing is reported to anybody."""
    variables = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        # kernels compiled at the first start serve the next ones; the default place is the temporary folder
        "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(paths.cache_dir() / "torchinductor")),
    }
    if plan.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(plan.uuids)
    if environment.managed and environment.device == "cpu":
        # torch's TCPStore, the default, listens on every address of the machine and asks for no key
        variables["SGLANG_DISTRIBUTED_INIT_METHOD_OVERRIDE"] = f"file://{PRIVATE_DIR}/torch-rendezvous"
    return variables | platform(environment)


def platform(environment: Environment) -> dict[str, str]:
    """Variables without which this SGLang cannot even be imported."""
    variables = {"PYTHONPATH": ""} if environment.managed else {}
    if environment.managed and environment.device == "cpu":
        # SGLANG_USE_CPU_ENGINE=1 would import compiled kernels that do not exist
        variables |= {"SGLANG_PLATFORM": "llmserve_cpu", "SGLANG_USE_CPU_ENGINE": "0"}
    return variables


def _check(api_key: str | None, extra: tuple[str, ...]) -> None:
    if api_key and "--config" in extra:
        raise UsageError(
            "SGLang takes one --config, and llmserve needs it to hand over the API key.",
            hint="Write the settings of your file as flags, or serve without a key.",
        )
    if api_key and (api_key.startswith("-") or not api_key.isprintable()):
        raise UsageError("SGLang cannot take this API key: it begins with '-' or holds control characters.")
