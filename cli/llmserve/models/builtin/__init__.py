"""The model that needs no download: written by llmserve itself, the same bytes on every machine.

``tiny`` is a real Llama checkpoint in both formats with weights that nobody trained. It proves that a server, a client
and the tools work, in seconds and without a network.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from llmserve import paths
from llmserve.errors import DoesNotFitError, LlmserveError
from llmserve.models.builtin import spec
from llmserve.models.model import Format

__all__ = ["build", "built", "folder"]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def folder() -> Path:
    """Where the files stand, or will stand: one folder for both formats, named after their contents."""
    return paths.cache_dir() / "builtin" / f"tiny-{spec.version()}"


def built(format: Format) -> Path | None:  # noqa: A002 - the word of the field
    """What an engine is given to load, if it has been built: the folder, or the .gguf file in it."""
    path = folder()
    if not all((path / name).is_file() for name in spec.FILES):
        return None
    return path / spec.GGUF_FILE if format == "gguf" else path


def build(format: Format) -> Path:  # noqa: A002 - the word of the field
    """Write the model if it is not there yet; half a second. Processes that build at once do not disturb each other.

    Raises:
        LlmserveError: the cache folder cannot be written.
    """
    path = built(format)
    if path:
        return path
    try:
        _write(folder())
    except OSError as error:
        raise _unwritable(error) from error
    return folder() / spec.GGUF_FILE if format == "gguf" else folder()


def _write(target: Path) -> None:
    from llmserve.models.builtin import bpe, gguf_file, hf_files, weights

    vocabulary = bpe.vocabulary()
    tensors = weights.tensors(vocabulary)
    files = hf_files.files(vocabulary, tensors) | {spec.GGUF_FILE: gguf_file.content(vocabulary, tensors)}
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        beside.chmod(0o755)
        for name, content in files.items():
            (beside / name).write_bytes(content)
        _install(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _install(beside: Path, target: Path) -> None:
    """Rename the finished folder into place; if another process was first, its files are the same."""
    try:
        beside.rename(target)
    except OSError:
        if built("gguf"):
            return
        shutil.rmtree(target)  # somebody took files out of it
        beside.rename(target)


def _unwritable(error: OSError) -> LlmserveError:
    place = paths.cache_dir()
    kind = DoesNotFitError if error.errno in _DISK_FULL else LlmserveError
    return kind(
        f"The built-in model cannot be written to {place}: {error.strerror or error}.",
        hint="Set XDG_CACHE_HOME to a folder that you can write to, with a few MiB free.",
    )
