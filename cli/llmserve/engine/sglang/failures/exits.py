"""What the exit code of SGLang says by itself."""

from __future__ import annotations

from llmserve.engine.base import Failure
from llmserve.engine.sglang.failures.hints import FLAGS, LOG

_SIGNALS = {
    2: Failure(code="interrupted", message="SGLang was interrupted.", hint="Start it again.", exit_code=130),
    4: Failure(
        code="unsupported_cpu",
        message="SGLang used an instruction that this processor does not have.",
        hint="Use the engine llamacpp here.",
    ),
    7: Failure(
        code="shared_memory_full",
        message="SGLang lost shared memory that it was using.",
        hint="In a container, start it with --shm-size=8g or --ipc=host.",
        exit_code=3,
    ),
    9: Failure(
        code="killed",
        message="SGLang was killed: by itself after a worker failed, or by the system when memory ran out.",
        hint=LOG,
    ),
    11: Failure(code="crashed", message="SGLang crashed in compiled code (segmentation fault).", hint=LOG),
    15: Failure(code="stopped", message="SGLang was asked to end (SIGTERM).", hint="Start it again."),
}
_CODES = {
    1: Failure(code="engine_error", message="SGLang ended with an error.", hint=LOG),
    2: Failure(code="bad_flag", message="SGLang refused its command line.", hint=FLAGS, exit_code=2),
    3: Failure(
        code="port_in_use",
        message="SGLang could not open its HTTP port.",
        hint="Run the command again; without --port the next free port is taken.",
        exit_code=1,
    ),
}


def exit_failure(code: int) -> Failure | None:
    """What an exit code alone says; negative codes and those above 128 are signals."""
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        return _SIGNALS.get(number) or Failure(
            code="killed", message=f"SGLang was ended by signal {number}.", hint=LOG, exit_code=6
        )
    return _CODES.get(code)
