"""What SGLang chooses when nobody tells it: its sizes, and with them the static fraction.

Sources: ``arg_groups/memory_hook.py`` of 0.5.23; for releases before 0.4.6 the table that ``server_args.py`` had.
"""

from __future__ import annotations

from llmserve.models.layers import CompressedLayers, LatentLayers, Vision
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import rules

MIB = 1024**2
_TIERS = (  # MiB of the smallest card, chunk, largest batch with a graph below tp 4 and from there on
    (20_480, 2048, 8, 8), (35_840, 4096, 48, 160), (61_440, 4096, 32, 160), (163_840, 8192, 256, 512),
    (10**9, 16_384, 512, 512),
)  # fmt: skip
_GRAPH_SIZES = {2048: 42, 4096: 50, 8192: 58, 16_384: 74}
_LARGE = 61_440  # MiB from which at least 10 GiB are kept
_TABLE = {1: 0.88, 2: 0.87, 4: 0.85, 8: 0.81, 16: 0.77}
_WORDS = ("auto", "unknown")
TYPED = (0.7, 0.95)
"""What people type: the tuning guide asks them to come down to 0.7 when memory runs out, and nothing above starts."""


def is_word(value: str) -> bool:
    """``auto``: the engine is to choose; ``unknown``: a known start, of which nobody noted the fraction."""
    return value.lower() in _WORDS


def sizes(total_bytes: int, tensor_parallel: int) -> tuple[int, int]:
    """The default ``--chunked-prefill-size`` and the largest batch with a CUDA graph, by the smallest card's memory."""
    _, chunk, few, many = next(tier for tier in _TIERS if total_bytes / MIB < tier[0])
    return chunk, many if tensor_parallel >= 4 else few


def fraction(
    model: Model, total_bytes: int, arrangement: Arrangement, *, chunk: int, batch: int, graphs: bool, version: str = ""
) -> float:
    """The default ``--mem-fraction-static`` for prefill chunks of ``chunk`` tokens and graphs of ``batch`` requests;
    ``graphs`` says whether prefill is captured too."""
    if rules.before(version, (0, 4, 6)):
        found = _TABLE[max(size for size in _TABLE if size <= arrangement.tensor_parallel)]
        return found * 0.95 if model.vision else found
    total = total_bytes / MIB
    kept = 512 + 1.5 * max(chunk, 2048) + 128 * arrangement.tensor_parallel * arrangement.pipeline_parallel + 2 * batch
    if arrangement.attention_data_parallel > 1:
        kept += (4.5 if batch > 300 else 3) * batch * arrangement.attention_data_parallel
    if graphs and arrangement.pipeline_parallel == 1:
        kept += 1536 if _latent(model) else 8 * _GRAPH_SIZES.get(chunk, 58)
    kept = max(kept, 10_240) if total > _LARGE else kept
    found = max(0.0, round((total - kept) / total, 3))
    return found * _images(model.vision) if model.vision else found


def spread(default: float, model: Model, arrangement: Arrangement, *, word: str, version: str) -> tuple[float, float]:
    """The lowest and the highest fraction that may be meant by a word for which ``default`` is planned."""
    found = [default]
    if not version:  # older releases had a table
        found.append(fraction(model, 0, arrangement, chunk=0, batch=0, graphs=False, version="0.4.5"))
    if word.lower() == "unknown":
        found += TYPED
    return min(found), max(found)


def _latent(model: Model) -> bool:
    return any(isinstance(group, (LatentLayers, CompressedLayers)) for group in model.cache)


def _images(vision: Vision) -> float:
    """Encoders other than a ViT-L move it by a tenth for each of its size, within limits."""
    layers, width = vision.named_layers or 24, vision.named_width or 1024
    return 0.95 * min(1.05, max(0.8, 1 - 0.1 * (layers * width**2 / (24 * 1024**2) - 1)))
