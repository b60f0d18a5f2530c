"""The weights of the built-in model: exact integers from word pairs and from a fixed stream of bits.

Every weight is an integer of at most eight bits times a power of two, so that bfloat16, float16 and float32 hold it
without rounding: both formats are the same model, on every platform.

The token embeddings are random +1/-1 codes. A row of the output matrix is the sum of the codes of the tokens that came
before this one in the text, so that its product with a token's own code is large for pairs that occurred. What the
layers add is noise. The answers look like words and mean nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmserve.models.builtin import spec
from llmserve.models.builtin.bpe import Vocabulary

_NOISE_EXPONENT = -11
_OUTPUT_EXPONENT = -7
_BIAS = 0  # the dimension in which all codes agree: it keeps tokens that the text never wrote improbable


@dataclass(frozen=True)
class Tensor:
    """Row-major ``values`` (-255 to 255), each to be multiplied by 2 to the ``exponent``."""

    shape: tuple[int, ...]
    values: Sequence[int]
    exponent: int = 0


def tensors(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Every tensor under its Hugging Face name."""
    codes = _codes()
    special = {"model.embed_tokens.weight": _joined(codes), "lm_head.weight": _output(vocabulary, codes)}
    return {name: special.get(name) or _filled(name, shape) for name, shape in spec.shapes().items()}


def _filled(name: str, shape: tuple[int, ...]) -> Tensor:
    if len(shape) == 1:
        return Tensor(shape, [1] * shape[0])
    return Tensor(shape, [2 * byte - 255 for byte in _stream(name, shape[0] * shape[1])], _NOISE_EXPONENT)


def _stream(name: str, size: int) -> bytes:
    return hashlib.shake_128(f"llmserve tiny {spec.BUILDER} {name}".encode()).digest(size)


def _codes() -> list[list[int]]:
    size = spec.HIDDEN // 8
    stream = _stream("codes", spec.VOCABULARY * size)
    rows = (int.from_bytes(stream[i : i + size], "big") for i in range(0, len(stream), size))
    codes = [[1 if row >> bit & 1 else -1 for bit in range(spec.HIDDEN)] for row in rows]
    for code in codes:
        code[_BIAS] = 1
    return codes


def _output(vocabulary: Vocabulary, codes: list[list[int]]) -> Tensor:
    pairs = _pairs(vocabulary)
    fan_in = Counter(after for _, after in pairs)
    rows = [[0] * spec.HIDDEN for _ in range(spec.VOCABULARY)]
    for (before, after), count in sorted(pairs.items()):
        # Sums of many codes are noisy: the more tokens precede this one, the less each of them counts.
        weight = (52 + 8 * count.bit_length()) // (4 + fan_in[after].bit_length())
        rows[after] = [value + weight * code for value, code in zip(rows[after], codes[before], strict=True)]
    for row in rows:
        row[_BIAS] = 0 if any(row) else -255
    return _joined(_apart(rows), _OUTPUT_EXPONENT)


def _apart(rows: list[list[int]]) -> list[list[int]]:
    """Tokens that follow the same word would tie, and engines break ties differently."""
    stream = iter(_stream("ties", spec.VOCABULARY * spec.HIDDEN))
    return [[value + next(stream) % 5 - 2 for value in row] for row in rows]


def _pairs(vocabulary: Vocabulary) -> Counter[tuple[int, int]]:
    """How often one token followed another; each paragraph is an answer after the chat template's last line."""
    newline = vocabulary.encode("\n")
    end = [spec.SPECIAL_TOKENS.index(spec.TURN_END)]
    pairs: Counter[tuple[int, int]] = Counter()
    for paragraph in spec.text().strip().split("\n\n"):
        tokens = newline + vocabulary.encode(paragraph) + end
        pairs.update(zip(tokens, tokens[1:] + newline, strict=True))
    return pairs


def _joined(rows: Iterable[Sequence[int]], exponent: int = 0) -> Tensor:
    values = [max(-255, min(255, value)) for row in rows for value in row]
    return Tensor((spec.VOCABULARY, spec.HIDDEN), values, exponent)
