"""What ``up`` says at its end: the card of a ready server, or the plan and command of a dry run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from llmserve.addresses import is_loopback
from llmserve.engine.base import PRIVATE_DIR, Launch
from llmserve.engine.ports import DEFAULT_PORT
from llmserve.engine.server import Server
from llmserve.output.ledger import Look
from llmserve.output.text import GIB, duration, gib
from llmserve.plan import explain
from llmserve.records import to_json
from llmserve.result import Result
from llmserve.serve import Prepared

_COARSE = GIB // 10
"""Below this the engines' rounding is all that a comparison would show."""


def ready(server: Server, *, why: str, asked_port: int | None, detached: bool) -> Result:
    """The closing card: address, model, key, what fits, predicted and actual KV tokens, and lines to copy."""
    messages = []
    if asked_port is None and server.port != DEFAULT_PORT:
        messages.append(f"Port {DEFAULT_PORT} is in use, so this server listens on {server.port}.")
    if detached:
        messages.append(f"It runs in the background: `llmserve logs {server.name}`, `llmserve down {server.name}`.")
    notes = [("Note", note) for note in (why, *server.plan.notes, *_exposed(server)) if note]
    rows = "\n".join(f"  {name:<10} {value}" for name, value in [*described(server), *notes])
    return Result(
        data=summary(server), title=f"{server.name} is ready", human=f"{rows}\n\n{_to_copy(server)}", quiet=server.url,
        messages=tuple(messages),
    )  # fmt: skip


def started(server: Server) -> Result:
    """What ``up -d --no-wait`` says: it is on its way."""
    return Result(
        data=summary(server),
        human=f"{server.name} is starting in the background; it will be at {server.url}.",
        quiet=server.url,
        messages=(f"See how it gets on with `llmserve ps`, `llmserve logs -f {server.name}`.",),
    )


def summary(server: Server) -> dict[str, Any]:
    """A server as ``up`` and ``ps`` show it in JSON."""
    record = to_json(server)
    return record | {"uptime_s": round(server.uptime, 1), "log": str(server.log)}


OPEN_ROUTES = {"llamacpp": ("/health", "/v1/health"), "sglang": ("/health", "/ready", "/metrics")}
"""What each engine answers without its key."""


def _exposed(server: Server) -> Iterator[str]:
    """What an address that others reach leaves open, key or not."""
    if server.key_file is None or is_loopback(server.host):
        return
    more = ", and the websocket /v1/realtime" if server.engine == "sglang" else ""
    yield f"Open to everybody, without a key: {', '.join(OPEN_ROUTES[server.engine])}{more}."
    if server.engine == "sglang":
        yield "SGLang shows its settings, the admin key among them, at /server_info to whoever has the API key."
    yield "There is no encryption: put a proxy with TLS before it where others share the network."


def described(server: Server) -> list[tuple[str, str]]:
    """The facts of a server, as the rows of a card."""
    plan = server.plan
    took = max(0.0, server.ready_at - (server.begun_at or server.started_at)) if server.ready_at else None
    key = f"in {server.key_file}" if server.key_file else "none needed (any value is accepted)"
    facts = server.facts  # the engine's own figures, where the user's flags changed the plan's
    requests = (facts and facts.concurrency) or plan.concurrency
    context = (facts and facts.context) or plan.context
    where = f"{len(plan.gpus)} GPU{'s' * (len(plan.gpus) > 1)}" if plan.gpus else "CPU"
    return [
        ("URL", server.url + ("" if server.host in server.url else f" (listens on {server.host})")),
        ("Model", server.model),
        ("API key", key),
        *(
            [("Admin key", f"in {server.admin_key_file}, for SGLang's management routes")]
            if server.admin_key_file
            else []
        ),
        (
            "Engine",
            f"{server.engine} {server.engine_version} on {where}{f', ready after {duration(took)}' if took else ''}",
        ),
        ("Fits", f"{requests} × {context:,} tokens (requests × context)"),
        ("KV tokens", _kv_tokens(server)),
        *_memory(server),
        *_eased(server),
    ]


def _eased(server: Server) -> Iterator[tuple[str, str]]:
    """The flag that a second attempt changed."""
    if (change := server.eased) is not None:
        instead = f" instead of {change.before}" if change.before is not None else ""
        yield "Changed", f"{change.flag} {change.after}{instead}: {change.because}"


def _kv_tokens(server: Server) -> str:
    predicted = server.plan.kv_tokens
    actual = server.facts.kv_tokens if server.facts else None
    if actual is None:
        return f"{predicted:,} predicted; the engine does not report its own"
    return _compared(predicted, actual, f"{predicted:,}", f"{actual:,}")


def _memory(server: Server) -> Iterator[tuple[str, str]]:
    """Memory per device against the plan, where both are known and more than the engine's rounding."""
    predicted, facts = server.plan.predicted, server.facts
    if facts is None:
        return
    pairs = (
        ("Weights", predicted.weights_bytes_per_gpu, facts.weight_bytes),
        ("Left free", predicted.free_bytes, facts.free_bytes),
    )
    for name, planned, actual in pairs:
        if planned and actual and planned >= _COARSE:
            yield name, _compared(planned, actual, gib(planned), gib(actual))


def _compared(predicted: int, actual: int, planned: str, found: str) -> str:
    off = f" ({actual / predicted - 1:+.1%} against the plan)" if predicted and planned != found else ""
    return f"{planned} predicted, {found} actual{off}"


def _to_copy(server: Server) -> str:
    key = f"$(cat {shlex.quote(server.key_file)})" if server.key_file else "EMPTY"
    # the key goes through standard input: an argument of curl can be read by everybody on the machine
    before = f"printf 'Authorization: Bearer %s' \"{key}\" | " if server.key_file else ""
    authorization = " -H @-" if server.key_file else ""
    body = f'{{"model": "{server.model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return (
        f"{before}curl {server.url}/chat/completions{authorization} -H 'Content-Type: application/json'"
        f" -d {shlex.quote(body)}\n"
        f'export OPENAI_BASE_URL={server.url} OPENAI_API_KEY="{key}"\n'
        f"{_own_command()} chat"
    )


def _own_command() -> str:
    """What to type for this program: its path where the shell would not find it, as after ``make up``."""
    if shutil.which("llmserve"):
        return "llmserve"
    return (
        shlex.quote(os.path.relpath(sys.argv[0]))
        if sys.argv[0].endswith("llmserve")
        else f"{sys.executable} -m llmserve"
    )


def dry_run(prepared: Prepared, launch: Launch, *, profile: str | None) -> Result:
    """The plan, and the exact engine command; the text of files that hold a key is left out."""
    plan, messages = prepared.plan, [prepared.why] if prepared.why else []
    if prepared.environment is None:
        messages.append(f"{plan.engine} is not installed for this plan: `llmserve engine install {plan.engine}`.")
    if profile:
        messages.append(f"The command is for {profile}, with the GPUs that its profile names.")
    if any(PRIVATE_DIR in word for word in launch.argv):
        messages.append(f"{PRIVATE_DIR} is the server's private folder, which holds its key while it starts.")
    # what lies in the server's own folder is for that server: the command works without
    environment = {name: value for name, value in launch.env.items() if PRIVATE_DIR not in value}
    env = [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    command = " ".join([*env, shlex.join(launch.argv)])
    data = {
        "plan": to_json(plan),
        "command": list(launch.argv),
        "environment": environment,
        "files": sorted(launch.files),
    }
    text = explain.describe(plan, prepared.model, look=Look.of(sys.stdout, colour=False))
    return Result(data=data, human=f"{text}\n\nCommand:\n{command}", quiet=command, messages=tuple(messages))
