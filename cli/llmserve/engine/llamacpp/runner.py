"""The child process of the embedded engine: takes llama-server's flags, serves until SIGTERM.

Runs by path in any Python that has ``xllamacpp``, so it imports nothing else of llmserve. A flag is the name of an
attribute of ``xllamacpp.CommonParams`` (``--n-predict 64``) or one of llama-server's own names for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

LLAMA_SERVER_NAMES = {
    "alias": "model_alias",
    "api_key_file": "api_keys",
    "batch_size": "n_batch",
    "cache_ram": "cache_ram_mib",
    "ctx_size": "n_ctx",
    "embeddings": "embedding",
    "gpu_layers": "n_gpu_layers",
    "host": "hostnames",
    "jinja": "use_jinja",
    "metrics": "endpoint_metrics",
    "min_p": "sampling.min_p",
    "model": "model.path",
    "parallel": "n_parallel",
    "predict": "n_predict",
    "slots": "endpoint_slots",
    "temp": "sampling.temp",
    "threads": "cpuparams.n_threads",
    "threads_batch": "cpuparams_batch.n_threads",
    "threads_http": "n_threads_http",
    "top_k": "sampling.top_k",
    "top_p": "sampling.top_p",
    "ubatch_size": "n_ubatch",
}
SHORT_NAMES = {"-c": "--ctx-size", "-np": "--parallel", "-t": "--threads", "-b": "--batch-size", "-n": "--predict"}

_TELLS_SIZES = 4
"""llama.cpp's level of verbosity that includes its own sizes; its default is 3."""


class FlagError(Exception):
    """A flag or value that the engine does not take."""


def apply(params: Any, args: list[str]) -> None:
    """Set ``params`` from command-line words."""
    words = list(args)
    while words:
        word = words.pop(0)
        name, has_value, value = SHORT_NAMES.get(word, word).partition("=")
        owner, attribute = _find(params, name)
        current = getattr(owner, attribute)
        if not has_value and not (isinstance(current, bool) and (not words or words[0].startswith("--"))):
            if not words:
                raise FlagError(f"argument {name}: expected a value")
            value = words.pop(0)
        try:
            setattr(owner, attribute, _typed(current, value, name))
        except (KeyError, ValueError, TypeError, OverflowError, OSError) as error:
            raise FlagError(f"argument {name}: invalid value {value!r}") from error


def _find(params: Any, flag: str) -> tuple[Any, str]:
    name = flag.removeprefix("--").replace("-", "_")
    *path, attribute = LLAMA_SERVER_NAMES.get(name, name).split(".")
    owner = params
    for step in path:
        owner = getattr(owner, step)
    if not flag.startswith("--") or attribute.startswith("_") or not hasattr(owner, attribute):
        raise FlagError(f"unrecognized arguments: {flag}")
    return owner, attribute


def _typed(current: Any, value: str, name: str) -> Any:
    if name == "--api-key-file":
        return [line for line in Path(value).read_text(encoding="utf-8").split() if line]
    if isinstance(current, bool):
        return {"": True, "true": True, "on": True, "1": True, "false": False, "off": False, "0": False}[value]
    if isinstance(current, (list, set)):
        return type(current)(value.split(","))
    return type(current)(value) if isinstance(current, (int, float, str)) else _unsettable(name)


def _unsettable(name: str) -> Any:
    raise FlagError(f"unrecognized arguments: {name}")


def main(args: list[str]) -> int:
    # Python's own handler would raise once the engine has loaded, and unwind what then serves: that can block for good
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.ui, params.endpoint_metrics = False, True
    try:
        apply(params, args)
    except FlagError as error:
        return _refuse(error, code=2)
    try:
        server = start(xllamacpp, params)
    except RuntimeError as error:
        return _refuse(error, code=1)
    _wait_for_signal()
    stop_accepting(params.port)
    _finish(server)
    # with a request under way the engine can block for good, and with it every Python thread: the kernel ends it then
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    del server
    return 0


def start(xllamacpp: Any, params: Any) -> Any:
    """The engine says what its buffers take one level above its default, where each request would fill a page later:
    so the level holds for the start alone, if this build lets it be changed.
    """
    wanted = params.verbosity
    change = _verbosity_setter(xllamacpp)
    if change:
        params.verbosity = max(wanted, _TELLS_SIZES)
    server = xllamacpp.Server(params)
    if change:
        change(wanted)
    return server


def _verbosity_setter(xllamacpp: Any) -> Any:
    """``common_log_set_verbosity_thold(int)``, which the wheel exports and does not wrap; None where it does not."""
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(xllamacpp.xllamacpp.__file__)._Z30common_log_set_verbosity_tholdi
    return None


def _wait_for_signal() -> None:
    # The engine's own threads may receive the signal, so a handler alone would not wake this one: a pipe does.
    # Until here both have their default action: a load that is under way ends at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    os.read(reader, 1)


def stop_accepting(port: int) -> None:
    """Refuse new connections; those that are open go on. (Closed in the usual way, the listener would take its answers
    with it: so another one, which nobody knows, is put in its place.)
    """
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as listener:
            if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or listener.getsockname()[1] != port:
                continue
            address = listener.getsockname()
            with socket.create_server(("127.0.0.1", 0), backlog=1) as nobody:
                os.dup2(nobody.fileno(), number)
            _wake(listener.family, address)


def _wake(family: int, address: Any) -> None:
    """The thread that accepts waits on the old listener, which ends with the next connection: this one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 - not bound
    with contextlib.suppress(OSError), socket.socket(family) as knock:
        knock.settimeout(1)
        knock.connect((host, address[1]))


def _finish(server: Any) -> None:
    """Wait until no answer is running; whoever sent the signal decides how long that may take."""
    with contextlib.suppress(Exception):  # a build that does not tell: then nothing is waited for
        while any(count > 0 for count in map(float, _BUSY.findall(server.handle_metrics()))):
            time.sleep(0.05)


_BUSY = re.compile(r"^llamacpp:requests_(?:processing|deferred) (\S+)", re.MULTILINE)


def _refuse(error: Exception, *, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
