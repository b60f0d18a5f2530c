"""What llama.cpp's log lines say about a failed start (build of October 2026)."""

from __future__ import annotations

from llmserve.engine.base import Failure
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
        "unsupported_architecture",
        r"unknown pre-tokenizer type: '(?P<name>[^']+)'",
        "This version of llama.cpp does not know the tokenizer {name}.",
        "Try a newer engine (`llmserve engine install llamacpp`) or another model.",
        rank=80,
    ),
    Rule(
        "unsupported_quantization",
        r"tensor '(?P<tensor>[^']+)' (?:has invalid|of type .* has an unknown) ggml type (?P<number>\d+)",
        "This version of llama.cpp does not know the quantisation of this file (type {number}, tensor {tensor}).",
        "Try a newer engine (`llmserve engine install llamacpp`) or another quantisation.",
        rank=80,
    ),
    Rule(
        "no_access",
        r"failed to open GGUF file '(?P<file>[^']+)' \(Permission denied\)",
        "The engine may not read {file}.",
        "Change the file's owner or mode.",
        exit_code=1,
        rank=80,
    ),
    Rule(
        "gpu_out_of_memory",
        r"allocating (?P<asked>[\d.]+ MiB) on device (?P<gpu>\d+): cudaMalloc failed: out of memory",
        "GPU {gpu} ran out of memory: {asked} more were asked for.",
        "Try a smaller --context or a smaller model.",
        exit_code=3,
        rank=75,
    ),
    Rule(
        "out_of_memory",
        r"(failed to allocate (buffer|compute|CPU)|unable to allocate \S+ buffer|mmap failed: Cannot allocate memory"
        r"|std::bad_alloc)",
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
        "crashed",
        r"GGML_ASSERT\((?P<what>.{1,120})\) failed",
        "The engine ended itself over something that it holds to be impossible: {what}.",
        "`llmserve logs` shows all that it printed; report it to llama.cpp.",
        rank=30,
    ),
    Rule(
        "bad_value",
        r"failed to initialize the context: (?P<what>(?!failed to allocate).{1,200})",
        "The engine cannot be set up like this: {what}.",
        "Check the words after `--`; they are llama-server's flags.",
        exit_code=2,
        rank=35,
    ),
    Rule(
        "load_failed",
        r"exiting due to (?P<what>.*)",
        "The engine ended: {what}.",
        "`llmserve logs` shows all that it printed.",
        rank=10,
    ),
)

_SIGNALS = {
    4: Failure(
        code="unsupported_cpu",
        message="The engine used an instruction that this processor does not have.",
        hint="Build xllamacpp here: pip install --no-binary xllamacpp xllamacpp",
    ),
    7: Failure(
        code="broken_checkpoint",
        message="The engine lost a file that it was reading (SIGBUS): it was cut short, or its disk failed.",
        hint="Check them: `llmserve verify`.",
    ),
    9: Failure(
        code="killed",
        message="The engine was killed from outside: by somebody, or by the system for lack of memory.",
        hint="If memory was short (`llmserve doctor`), try a smaller --context or a smaller model.",
    ),
    11: Failure(
        code="crashed",
        message="The engine crashed in compiled code (segmentation fault).",
        hint="`llmserve logs` shows all that it printed.",
    ),
}


def exit_failure(code: int) -> Failure | None:
    """What an exit code alone says; negative codes and those above 128 are signals."""
    return _SIGNALS.get(-code if code < 0 else code - 128)
