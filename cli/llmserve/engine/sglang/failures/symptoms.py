"""What is left to say when no cause was printed: symptoms, tracebacks, consequences."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import LOG, SMALLER

RULES = (
    Rule(
        "graphs_failed",
        r"Capture cuda graph failed: (?P<what>.{1,200})|Fail when using backend: (?P<backend>\S+) for prefill runner",
        "CUDA graphs could not be captured: {what}{backend}.",
        "Add `-- --cuda-graph-backend-prefill disabled`, or also `--cuda-graph-backend-decode disabled`.",
        rank=60,
    ),
    Rule(
        "hung",
        r"(?:\w+ watchdog|Watchdog) timeout \(self\.watchdog_timeout=(?P<seconds>[\d.]+)",
        "One step of the model took longer than {seconds} s, and SGLang gave up.",
        "If it was busy and not stuck, allow more with `-- --watchdog-timeout 1200`.",
        rank=60,
    ),
    Rule(
        "worker_killed",
        r"scheduler died during initialization \(exit code: -9\)|Subprocess \S+ \(pid=\d+\) crashed with exit code -9",
        "A worker of SGLang was killed, most likely because the machine's memory ran out.",
        SMALLER,
        rank=40,
    ),
    Rule(
        "worker_killed",
        r"^Killed$|[Oo]ut of memory: Killed process|oom-kill",
        "The system killed a process of the engine because the machine's memory ran out.",
        SMALLER,
        rank=40,
    ),
    Rule(
        "worker_died",
        r"(?:scheduler died during initialization \(exit code: |Subprocess \S+ \(pid=\d+\) crashed with exit code )"
        r"(?P<code>-?\d+)",
        "A worker of SGLang ended with exit code {code}.",
        LOG,
        rank=8,
    ),
    Rule(
        "worker_silent",
        r"Health check failed\. Server couldn't get a response",
        "The workers of SGLang do not answer any more.",
        LOG,
        rank=7,
    ),
    Rule(
        "engine_error",
        r"^(?:\w+\.)*(?P<kind>KeyError|IndexError|AttributeError|JSONDecodeError): (?P<what>.{1,300})",
        "SGLang ended with {kind}: {what}.",
        LOG,
        rank=9,
    ),
    Rule(
        "engine_error",
        r"^(?:\w+\.)*(?P<kind>(?!Key|Index|Attribute|JSONDecode|Cancelled)\w*(?:Error|Exception)): (?P<what>.{1,300})",
        "SGLang ended with {kind}: {what}.",
        LOG,
        rank=10,
    ),
    Rule(
        "engine_error",
        r"^(?:\w+\.)*(?P<kind>(?!Cancelled)\w*(?:Error|Exception))$",
        "SGLang ended with {kind}.",
        LOG,
        rank=9,
    ),
    Rule(
        "worker_died",
        r"(?:hit an exception: Traceback|Received sigquit from a child|SIGQUIT received|Initialization failed\.)",
        "A worker of SGLang failed.",
        LOG,
        rank=2,
    ),
)
