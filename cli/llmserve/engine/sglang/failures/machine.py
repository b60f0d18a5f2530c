"""Ports, addresses, packages, and machines that talk to each other."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import REPAIR

RULES = (
    Rule(
        "port_in_use",
        r"\[Errno (?:98|48)\].*\('(?P<host>[^']+)', (?P<port>\d+)[^)]*\): .*address already in use",
        "Another program took port {port} on {host} while the model was loading.",
        "Run the command again; without --port the next free port is taken.",
        exit_code=1,
        rank=80,
    ),
    Rule(
        "port_in_use",
        r"\[Errno (?:98|48)\]|EADDRINUSE|Port is already in use|ZMQError: Address already in use",
        "Another program took a port that SGLang needs.",
        "Run the command again.",
        exit_code=1,
        rank=70,
    ),
    Rule(
        "port_in_use",
        r"(?P<name>\w+) at (?P<port>\d+) is not available in \d+ seconds",
        "Port {port}, which SGLang needs inside ({name}), stays in use.",
        "Run the command again.",
        exit_code=1,
        rank=80,
    ),
    Rule(
        "bad_address",
        r"\[Errno 99\].*\('(?P<host>[^']+)', (?P<port>\d+)",
        "This machine has no address {host}.",
        "Use --host 127.0.0.1, 0.0.0.0, or an address of this machine.",
        exit_code=2,
        rank=80,
    ),
    Rule(
        "bad_address",
        r"\[Errno 13\].*\('(?P<host>[^']+)', (?P<port>\d+)",
        "This user may not listen on port {port}.",
        "Use a port above 1023.",
        exit_code=2,
        rank=80,
    ),
    Rule(
        "bad_address",
        r"\[c10d\] TCP client failed to connect/validate to host (?P<host>\S+):\d+",
        "SGLang cannot reach itself at {host}: that is no address of this machine, or something stands between.",
        "Use --host 127.0.0.1, 0.0.0.0, or an address of this machine.",
        exit_code=2,
        rank=60,
    ),
    Rule(
        "engine_incomplete",
        r"(?:ModuleNotFoundError|ImportError): No module named '(?P<name>vllm|sgl_kernel)\b",
        "This SGLang cannot run without a GPU: it lacks the CPU platform that llmserve adds.",
        "Install one that can: `llmserve engine install sglang --device cpu`.",
        rank=80,
    ),
    Rule(
        "engine_incomplete",
        r"requires? the following packages that were not found in your environment: (?P<name>.{1,120}?)\. Run",
        "The model's own code needs packages that the engine's environment lacks: {name}.",
        "Install them with the environment's pip; `llmserve engine list` shows its path.",
        rank=80,
    ),
    Rule(
        "engine_incomplete",
        r"^ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        "The engine's environment lacks the package {name}.",
        REPAIR,
        rank=30,
    ),
    Rule(
        "gpu_communication",
        r"(?P<what>nccl(?:UnhandledCuda|System|Internal|Remote)Error|DistBackendError|[RN]CCL [Ee]rror|HCCL error)",
        "The GPUs cannot talk to each other ({what}).",
        "In a container, give it --shm-size=8g. Else try NCCL_P2P_DISABLE=1, or `-- --disable-custom-all-reduce`.",
        rank=70,
    ),
    Rule(
        "gpu_communication",
        r"Watchdog caught collective operation timeout: WorkNCCL\(.*OpType=(?P<what>\w+)",
        "The GPUs waited for each other in vain ({what}).",
        "In a container, give it --shm-size=8g. Else try NCCL_P2P_DISABLE=1, or `-- --disable-custom-all-reduce`.",
        rank=72,
    ),
    Rule(
        "peers_missing",
        r"Timed out after \d+ seconds waiting for clients\. (?P<what>\d+/\d+) clients joined"
        r"|gloo/transport/\S+\] (?P<gloo>Connection closed by peer|Connection refused|Connect timeout)",
        "Other workers of this model did not come, or went away: {what}{gloo}.",
        "Their own failure is further up in `llmserve logs`; over several machines, see that the ports are open.",
        rank=40,
    ),
)
