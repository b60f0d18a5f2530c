"""What was measured, and from where: the client's machine, the server's engine, version, flags and plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.url import is_loopback

__all__ = ["machine_facts", "server_facts", "without_secrets"]

WAIT_S = 3.0
MOST_TEXT = 300
_SECRET = re.compile(r"key|token$|secret|password|credential|cookie|authorization", re.IGNORECASE)
_FLAGS = re.compile(
    r"model_path|dtype|quantization|kv_cache|tp_size|pp_size|dp_size|ep_size|context_length|mem_fraction|max_running|"
    r"chunked_prefill|attention_backend|speculative|schedule_policy|disable_|enable_|max_total|cuda_graph|radix"
)


def machine_facts(base_url: str) -> dict[str, Any]:
    """The machine of the client, which is that of the server, too, if ``server_here``."""
    from llmserve.hardware.detection import detect

    found = detect()
    gpus = [{"name": gpu.name, "total_bytes": gpu.total_bytes, "arch": gpu.arch} for gpu in found.gpus]
    return {
        "server_here": is_loopback(base_url), "name": found.name, "os": found.os, "arch": found.arch,
        "cpu": found.cpu.model, "cores": found.cpu.cores, "threads": found.cpu.threads,
        "ram_bytes": found.ram_total_bytes, "gpus": gpus, "driver": found.driver,
    }  # fmt: skip


def server_facts(endpoint: Endpoint, model: str) -> dict[str, Any]:
    """What is known of the server: from our own record of it, else from what it says of itself. No secrets."""
    found = _recorded(endpoint.base_url) or _asked(endpoint, model)
    cleaned: dict[str, Any] = without_secrets(found)
    return cleaned


def without_secrets(value: Any) -> Any:
    """``value`` without entries whose name is that of a secret, and with long texts cut."""
    if isinstance(value, Mapping):
        kept = {str(name): inner for name, inner in value.items() if not _SECRET.search(str(name))}
        return {name: without_secrets(inner) for name, inner in kept.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    return value[:MOST_TEXT] if isinstance(value, str) else value


def _recorded(base_url: str) -> dict[str, Any] | None:
    from llmserve.paths import servers_dir

    if not servers_dir().is_dir():
        return None
    from llmserve.engine.registry import running

    wanted = urlsplit(base_url)
    for server in running():
        own = urlsplit(server.url)
        if own.port == wanted.port and (own.hostname == wanted.hostname or is_loopback(base_url)):
            plan = server.plan
            return {
                "source": "record", "name": server.name, "engine": server.engine, "version": server.engine_version,
                "flags": {flag.name: flag.value for flag in plan.flags}, "extra_flags": list(server.extra_flags),
                "gpus": len(plan.gpus),
                "plan": {
                    "device": plan.device, "tensor_parallel": plan.tensor_parallel, "context": plan.context,
                    "concurrency": plan.concurrency, "kv_tokens": plan.predicted.kv_tokens,
                },
            }  # fmt: skip
    return None


def _asked(endpoint: Endpoint, model: str) -> dict[str, Any]:
    """Pages that SGLang, vLLM and llama.cpp have; each may be missing."""
    import httpx2

    parts = urlsplit(endpoint.base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    headers = dict(endpoint.headers)
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    found: dict[str, Any] = {}
    with httpx2.Client(headers=headers, timeout=WAIT_S, follow_redirects=False) as client:
        for url, read in (
            (f"{root}/server_info", _sglang), (f"{root}/version", _vllm), (f"{root}/props", _llamacpp),
            (f"{endpoint.base_url}/models", lambda page: _listed(page, model)),
        ):  # fmt: skip
            if "engine" in found and not url.endswith("/models"):
                continue
            try:
                answer = client.get(url)
                found |= {"server_header": answer.headers["server"]} if "server" in answer.headers else {}
                page = answer.json() if answer.status_code == 200 else None
            except (httpx2.HTTPError, ValueError):
                continue
            if isinstance(page, dict):
                found |= read(page)
    return {"source": "asked", **found} if found else {}


def _sglang(page: dict[str, Any]) -> dict[str, Any]:
    if "version" not in page and "max_total_num_tokens" not in page:
        return {}
    flags = {name: value for name, value in page.items() if _FLAGS.search(name) and value not in (None, False, "")}
    plain = {name: value for name, value in flags.items() if isinstance(value, (str, int, float, bool))}
    gpus = page.get("tp_size")
    return {"engine": "sglang", "version": page.get("version"), "flags": plain,
            **({"gpus": gpus * (page.get("pp_size") or 1)} if isinstance(gpus, int) else {})}  # fmt: skip


def _vllm(page: dict[str, Any]) -> dict[str, Any]:
    version = page.get("version")
    return {"engine": "vllm", "version": version} if isinstance(version, str) else {}


def _llamacpp(page: dict[str, Any]) -> dict[str, Any]:
    if "default_generation_settings" not in page:
        return {}
    return {"engine": "llamacpp", "version": page.get("build_info"), "flags": {"parallel": page.get("total_slots")}}


def _listed(page: dict[str, Any], model: str) -> dict[str, Any]:
    models = [one for one in page.get("data") or [] if isinstance(one, dict) and one.get("id") == model]
    shown = ("id", "root", "owned_by", "max_model_len")
    return {"model": {name: models[0][name] for name in shown if name in models[0]}} if models else {}
