from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.errors import LlmserveError
from llmserve.models.headers.blob import LocalBlob
from llmserve.models.headers.safetensors import DTYPE_BITS, Header, parse, read, read_header
from llmserve.models.headers.table import Tensor
from tests.unit.models.checkpoints import safetensors, with_header

WHOLE_BYTES = sorted(dtype for dtype, bits in DTYPE_BITS.items() if bits % 8 == 0)
TENSORS = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(WHOLE_BYTES), st.lists(st.integers(0, 5), max_size=3)),
    max_size=6,
)
SAMPLE = safetensors({"a": ("F32", (2, 3)), "b": ("BF16", (5,)), "c": ("F8_E4M3", (7,))}, format="pt")


class Memory:
    """Bytes as a blob; ``pieces`` are the requests made."""

    name = "model.safetensors"

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.pieces: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        self.pieces.append((offset, length))
        return self.content[offset : offset + length]


def broken(content: bytes) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        read_header(Memory(content))
    assert caught.value.code == "broken_checkpoint"
    assert "model.safetensors" in caught.value.message
    assert caught.value.hint
    return caught.value


def outcome(content: bytes) -> str:
    try:
        read_header(Memory(content))
    except LlmserveError as error:
        return error.code
    return "read"


@given(TENSORS)
def test_what_was_written_is_read(tensors: dict[str, tuple[str, list[int]]]) -> None:
    header = read_header(Memory(safetensors(tensors)))
    assert header.tensors == len(tensors)
    assert header.data_bytes == sum(math.prod(shape) * DTYPE_BITS[dtype] // 8 for dtype, shape in tensors.values())


def test_bytes_are_counted_by_dtype() -> None:
    assert read_header(Memory(SAMPLE)) == Header(3, {"F32": 24, "BF16": 10, "F8_E4M3": 7})


def test_packed_dtypes_take_less_than_a_byte() -> None:
    assert read_header(Memory(safetensors({"a": ("F4", (3, 32)), "b": ("F6_E2M3", (4,))}))).data_bytes == 48 + 3


def test_every_truncation_is_broken() -> None:
    for length in range(len(SAMPLE)):
        broken(SAMPLE[:length])


def test_a_truncated_file_says_how_much_is_missing() -> None:
    error = broken(SAMPLE[:-5])
    assert "5 of" in error.message
    assert error.data["missing_bytes"] == 5


def test_a_longer_file_is_broken() -> None:
    assert "3 bytes longer" in broken(SAMPLE + b"abc").message


@settings(max_examples=300)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_broken_but_never_a_crash(place: int, change: int) -> None:
    content = bytearray(SAMPLE)
    content[place] ^= change
    assert outcome(bytes(content)) in ("read", "broken_checkpoint")


@given(st.binary(max_size=64))
def test_noise_is_broken(content: bytes) -> None:
    broken(content)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}},
        {"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [[1]], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", 4]}},
        {"a": {"dtype": "F5", "shape": [1], "data_offsets": [4, 0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {
            "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
            "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
        },
    ],
)
def test_senseless_headers_are_broken(header: Any) -> None:
    assert "damaged header" in broken(with_header(header, 8)).message


def test_an_unknown_dtype_is_counted_by_its_offsets() -> None:
    header = {"a": {"dtype": "F5", "shape": [3], "data_offsets": [0, 6]}}
    assert read_header(Memory(with_header(header, 6))).bytes_by_dtype == {"F5": 6}


def test_a_deeply_nested_header_is_broken() -> None:
    text = b"[" * 200_000
    broken(len(text).to_bytes(8, "little") + text)


def test_a_short_header_costs_one_request() -> None:
    blob = Memory(safetensors({"a": ("BF16", (1000, 1000))}))
    read_header(blob)
    assert blob.pieces == [(0, 65536)]


def test_a_long_header_costs_one_request_more_for_what_is_missing() -> None:
    content = safetensors({f"model.layers.{number}.weight": ("BF16", (2, 2)) for number in range(1500)})
    blob, end = Memory(content), 8 + int.from_bytes(content[:8], "little")
    assert read_header(blob).tensors == 1500
    assert blob.pieces == [(0, 65536), (65536, end - 65536)]


def test_a_header_fits_into_a_larger_first_piece() -> None:
    blob = Memory(safetensors({f"model.layers.{number}.weight": ("BF16", (2, 2)) for number in range(1500)}))
    assert len(parse(blob, read(blob, 1 << 20)).table) == 1500
    assert len(blob.pieces) == 1


def test_the_table_tells_each_tensor() -> None:
    assert read_header(Memory(SAMPLE)).table == {
        "a": Tensor("F32", 24, [2, 3]), "b": Tensor("BF16", 10, [5]), "c": Tensor("F8_E4M3", 7, [7]),
    }  # fmt: skip


@pytest.mark.parametrize("length", [0, 1, 100_000_001, 2**63])
def test_an_absurd_header_length_is_broken(length: int) -> None:
    error = broken(length.to_bytes(8, "little") + bytes(1000))
    assert error.message == "model.safetensors is not a safetensors file: its header length makes no sense."


def test_a_header_longer_than_its_file_is_incomplete() -> None:
    assert broken((5000).to_bytes(8, "little") + bytes(1000)).data["missing_bytes"] == 4000


def test_files_on_disk_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(SAMPLE)
    assert read_header(LocalBlob.of(path)).tensors == 3
