"""Which files of a repository a fetch brings, and a clause for each that says why or why not."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate

from llmserve.errors import UsageError
from llmserve.models import files, variants
from llmserve.models.files import Files
from llmserve.models.model import Source

CODE = "code, taken only with --code"

_KINDS = {
    "weights": ("*.safetensors", "*.gguf", "*.bin", "*.pt", "*.pth", "*.ckpt"),
    "weight index": ("*.index.json",),
    "chat template": ("chat_template.json", "*.jinja"),
    "tokenizer": (
        "tokenizer*", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "tekken.json", "*.tiktoken",
        "special_tokens_map.json", "added_tokens.json",
    ),
    "processor": ("*processor_config.json", "preprocessor*.json", "feature_extractor*.json"),
    "custom code": ("*.py",),
    "configuration": ("*.json",),
}  # fmt: skip
_UNUSED = {
    CODE: ("*.py",),
    "a second copy of the model": ("original/*", "consolidated*", "*/consolidated*"),
    "an adapter, not the model": ("adapter*",),
    "another framework": (
        "onnx/*", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack", "*.ot", "*.tflite", "openvino/*", "openvino_*",
        "coreml/*", "*.mlmodel*", "*.mlpackage/*", "*.nemo", "*.engine", "*.pb",
    ),
    "for reading": (
        "README*", "*.md", "*.pdf", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.webp", "*.mp4", "*.ipynb",
        "LICEN[SC]E*", "NOTICE*", "USE_POLICY*",
    ),
}  # fmt: skip
_NO_MODELS = {"mmproj": "an image projector", "imatrix": "calibration data"}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """The user's wishes. Globs as shells have them, ``*`` crossing folders; ``DIR/`` means all below it.

    With ``include`` only what matches is taken, of the whole repository; ``exclude`` takes from what is left. ``code``
    is the consent to Python files.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    code: bool = False


UNFILTERED = Filter()


@dataclass(frozen=True)
class Selection:
    """Names with their clauses; together they are all files of the repository."""

    wanted: Mapping[str, str]
    skipped: Mapping[str, str]


def select(where: Files, source: Source, wish: Filter) -> Selection:
    """What serving ``source`` needs, or what the user named. Of sharded weights the index alone is read.

    Raises:
        UsageError: ``no_weights``, ``unknown_file``: see ``files.weight_files`` and ``variants.choose``;
            ``nothing_matches``: the globs leave nothing.
        LlmserveError: ``broken_checkpoint``: parts of the weights are missing.
    """
    names = tuple(where.sizes)
    basis = _matching(names, wish.include) if wish.include else _needed(where, source, code=wish.code)
    allowed = [name for name in basis if wish.code or not name.endswith(".py")]
    left = {name for name in allowed if not _matches(name, wish.exclude)}
    if not left:
        raise _nothing(where, wish)
    return Selection(
        wanted={name: kind(name) for name in _ordered(left)},
        skipped={name: why_not(name, source, wish) for name in sorted(set(names) - left)},
    )


def kind(name: str) -> str:
    """What a file of a model is: ``weights``, ``tokenizer``, ``chat template``, ``configuration``, …"""
    last = name.rsplit("/", 1)[-1]
    return next((kind for kind, patterns in _KINDS.items() if _matches(last, patterns)), "asked for")


def why_not(name: str, source: Source, wish: Filter) -> str:
    """Why a file that was not selected was not."""
    if _matches(name, wish.exclude):
        return "excluded"
    if name.endswith(".py") and not wish.code:
        return CODE
    if wish.include:
        return "not included"
    reason = next((reason for reason, patterns in _UNUSED.items() if _matches(name, patterns)), None)
    return reason or _weights_left(name.lower(), source) or "not needed to serve"


def _needed(where: Files, source: Source, *, code: bool) -> tuple[str, ...]:
    if source.format == "gguf":
        return variants.choose(source, where.sizes)
    scripts = [name for name in where.sizes if name.endswith(".py") and not _matches(name, ("original/*",))]
    return (*files.needed(where), *(scripts if code else ()))


def _weights_left(name: str, source: Source) -> str | None:
    """Why weights are left that are no obvious copies."""
    if name.endswith(".gguf"):
        if source.format != "gguf":
            return "the other format"
        special = (why for word, why in _NO_MODELS.items() if word in name)
        return next(special, "another quantisation")
    if name.endswith(".safetensors") or _matches(name, _KINDS["weight index"]):
        return "the other format" if source.format == "gguf" else "a second copy of the model"
    if _matches(name, _PICKLES):
        return "pickle, which can run code"
    return None


def _nothing(where: Files, wish: Filter) -> UsageError:
    globs = [f"--include {glob}" for glob in wish.include] + [f"--exclude {glob}" for glob in wish.exclude]
    some = ", ".join(sorted(where.sizes)[:5])
    code = any(glob.endswith(".py") for glob in wish.include) and not wish.code
    return UsageError(
        f"Nothing of {where.where} is left to fetch with {' '.join(globs)}.",
        hint="Python files are fetched with --code." if code else f"It has {len(where.sizes)} files, such as {some}.",
        code="nothing_matches",
    )


def _ordered(names: Iterable[str]) -> list[str]:
    """Weights first, as they take longest; then by name."""
    return sorted(names, key=lambda name: (kind(name) != "weights", name))


def _matching(names: Iterable[str], globs: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if _matches(name, globs))


def _matches(name: str, globs: Iterable[str]) -> bool:
    return _pattern(tuple(globs)).match(name) is not None


@functools.cache
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """All of ``globs`` as one expression; one that ends with a slash means all below it. No globs match nothing."""
    return re.compile("|".join(translate(f"{glob}*" if glob.endswith("/") else glob) for glob in globs) or r"(?!)")
