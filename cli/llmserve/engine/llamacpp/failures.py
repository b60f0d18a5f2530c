"""What llama.cpp's log lines say about a failed start (build of October 2026)."""

from __future__ import annotations

from llmserve.engine.rules import Rule

FAILURES = (
    Rule(
        "bad_flag",
        r"^error: (?P<what>unrecognized arguments: .*|argument .*)",
        "The engine refuses a flag: {what}.",
        "Check the words after `--`; they are llama-server's flags.",
        exit_code=2,
        rank=90,
    ),
    Rule(
        "port_in_use",
        r"couldn't bind HTTP server socket, hostname: (?P<host>\S+), port: (?P<port>\d+)",
        "Another program took port {port} on {host} while the model was loading.",
        "Run the command again; without --port the next free port is taken.",
        exit_code=1,
        rank=80,
    ),
    Rule(
        "broken_checkpoint",
        r"tensor '(?P<tensor>[^']+)' data is not within the file bounds",
        "The GGUF file is truncated: tensor {tensor} lies beyond its end.",
        "Fetch the file again.",
        rank=80,
    ),
    Rule(
        "unsupported_architecture",
        r"unknown model architecture: '(?P<arch>[^']+)'",
        "This version of llama.cpp does not know the architecture {arch}.",
        "Try a newer engine (`llmserve engine install llamacpp`) or another model.",
        rank=80,
    ),
    Rule(
        "out_of_memory",
        r"(failed to allocate (buffer|compute|CPU)|unable to allocate \S+ buffer|failed to initialize the context)",
        "The machine does not have the memory that the engine asked for.",
        "Try a smaller --context or a smaller model.",
        exit_code=3,
        rank=70,
    ),
    Rule(
        "broken_checkpoint",
        r"(gguf_init_from_file\S*: (?P<what>.*)|error loading model: (?P<cause>.*))",
        "The engine cannot load this GGUF file: {what}{cause}.",
        "Fetch the file again, or try another one.",
        rank=40,
    ),
    Rule(
        "load_failed",
        r"exiting due to (?P<what>.*)",
        "The engine ended: {what}.",
        "`llmserve logs` shows all that it printed.",
        rank=10,
    ),
)
