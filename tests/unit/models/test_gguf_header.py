from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.errors import LlmserveError
from llmserve.models.headers import ggml
from llmserve.models.headers.gguf import Header, joined, read_header
from llmserve.models.headers.table import Tensor
from tests.unit.models.checkpoints import gguf, text, value

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "u8": st.integers(0, 2**8 - 1), "i8": st.integers(-(2**7), 2**7 - 1), "u16": st.integers(0, 2**16 - 1),
    "i16": st.integers(-(2**15), 2**15 - 1), "u32": st.integers(0, 2**32 - 1), "i32": st.integers(-(2**31), 2**31 - 1),
    "u64": st.integers(0, 2**64 - 1), "i64": st.integers(-(2**63), 2**63 - 1), "bool": st.booleans(),
    "f32": st.floats(width=32, allow_nan=False), "f64": st.floats(allow_nan=False),
}  # fmt: skip
NUMBERS = st.one_of(*(st.tuples(st.just(kind), numbers) for kind, numbers in SCALARS.items()))
ARRAYS = st.one_of(*(st.tuples(st.just(kind), st.lists(numbers, max_size=5)) for kind, numbers in SCALARS.items()))
TEXTS = st.text(max_size=12)
METADATA = st.dictionaries(TEXTS, st.one_of(NUMBERS, ARRAYS, TEXTS, st.lists(TEXTS, max_size=5)), max_size=6)
SHAPES = [
    (kind, (blocks * ggml.TYPES[kind].block, rows)) for kind in ggml.TYPES for blocks in (1, 2) for rows in (1, 3)
]
TENSORS = st.dictionaries(TEXTS, st.sampled_from(SHAPES), max_size=4)
SAMPLE = gguf(
    {"general.architecture": "llama", "a": ("u32", 7), "tokens": ["x", "yy", "zzz"] * 20, "types": ("i32", [1, 2, 3])},
    {"token_embd.weight": (12, (256, 2)), "norm": (0, (5,)), "last": (1, (3, 3))},
)


class Memory:
    name = "model.gguf"

    def __init__(self, content: bytes, piece: int | None = None) -> None:
        self.content = content
        self.piece = piece
        self.served = 0

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        part = self.content[offset : offset + length]
        self.served += len(part)
        return part


def failure(content: bytes, code: str = "broken_checkpoint") -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        read_header(Memory(content))
    assert caught.value.code == code
    assert "model.gguf" in caught.value.message
    return caught.value


def outcome(content: bytes) -> str:
    try:
        read_header(Memory(content))
    except LlmserveError as error:
        return error.code
    return "read"


def start(tensors: int, pairs: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest + bytes(99)


def array(kind: int, count: int) -> bytes:
    return text("k") + struct.pack("<IIQ", 9, kind, count)


def plain(item: Any) -> Any:
    if isinstance(item, str):
        return item
    if isinstance(item, list):
        return ()
    return tuple(item[1]) if isinstance(item[1], list) else item[1]


@given(METADATA, TENSORS, st.sampled_from([2, 3]))
def test_what_was_written_is_read(
    metadata: dict[str, Any], tensors: dict[str, tuple[int, tuple[int, int]]], version: int
) -> None:
    metadata.pop("general.alignment", None)
    header = read_header(Memory(gguf(metadata, tensors, version=version)))
    assert header.metadata == {key: plain(item) for key, item in metadata.items()}
    sizes: dict[str, int] = {}
    for kind, (width, rows) in tensors.values():
        name, block, size = ggml.TYPES[kind]
        sizes[name] = sizes.get(name, 0) + width // block * size * rows
    assert header == Header(header.metadata, header.lengths, len(tensors), sizes)


def test_arrays_say_how_long_they_are() -> None:
    assert read_header(Memory(SAMPLE)).lengths == {"tokens": 60, "types": 3}


def test_every_truncation_is_broken() -> None:
    for length in range(len(SAMPLE)):
        failure(SAMPLE[:length])


def test_a_truncated_file_says_how_much_is_missing() -> None:
    assert failure(SAMPLE[:-4]).data["missing_bytes"] == 4


@settings(max_examples=400)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused_but_never_a_crash(place: int, change: int) -> None:
    content = bytearray(SAMPLE)
    content[place] ^= change
    assert outcome(bytes(content)) in ("read", "broken_checkpoint", "unsupported_gguf")


def test_padding_at_the_end_is_fine() -> None:
    assert read_header(Memory(SAMPLE + bytes(64))) == read_header(Memory(SAMPLE))


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_other_versions_are_refused(version: int) -> None:
    failure(b"GGUF" + struct.pack("<IQQ", version, 0, 0), "unsupported_gguf")


def test_big_endian_is_said_to_be_big_endian() -> None:
    assert "big endian" in failure(b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "unsupported_gguf").message


def test_other_files_are_said_not_to_be_gguf() -> None:
    assert "is not a GGUF file" in failure(b"PK\3\4" + bytes(100)).message


def test_tensors_of_unknown_type_are_refused() -> None:
    content = gguf({}, {"a": (0, (4,))})
    end = content.index(b"a" + struct.pack("<IQ", 1, 4)) + 13
    failure(content[:end] + struct.pack("<I", 99) + content[end + 4 :], "unsupported_gguf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (start(0, 2**50), "a count makes no sense"),
        (start(0, 2**30), "is incomplete"),
        (start(0, 1, struct.pack("<Q", 2**40)), "impossible length"),
        (start(0, 1, text("k") + struct.pack("<I", 77)), "unknown type 77"),
        (start(0, 1, array(9, 1)), "unknown type 9"),
        (start(0, 1, array(8, 2**60)), "is incomplete"),
        (start(0, 1, array(0, 2**60)), "is incomplete"),
        (start(1, 0, text("t") + struct.pack("<I", 9)), "9 dimensions"),
        (gguf({"general.alignment": ("u32", 0)}, {"a": (0, (4,))}), "alignment"),
        (gguf({"general.alignment": ("u32", 33)}, {"a": (0, (4,))}), "alignment"),
    ],
)
def test_senseless_headers_are_broken(content: bytes, words: str) -> None:
    assert words in failure(content).message


def test_overlapping_tensors_are_broken() -> None:
    content = gguf({}, {"a": (0, (8,)), "b": (0, (8,))})
    second = struct.pack("<IQIQ", 1, 8, 0, 32)
    assert "overlaps" in failure(content.replace(second, struct.pack("<IQIQ", 1, 8, 0, 0))).message


def test_the_table_tells_each_tensor_with_its_rows_first() -> None:
    assert read_header(Memory(SAMPLE)).table == {
        "token_embd.weight": Tensor("Q4_K", 288, (2, 256)), "norm": Tensor("F32", 20, (5,)),
        "last": Tensor("F16", 18, (3, 3)),
    }  # fmt: skip


def test_a_tensor_that_is_there_twice_is_broken() -> None:
    content = gguf({}, {"a": (0, (8,)), "b": (0, (8,))})
    assert "it has tensor 'a' twice" in failure(content.replace(text("b"), text("a"))).message


def test_parts_are_joined() -> None:
    parts = [read_header(Memory(gguf({"k": "v"}, {name: (0, (8,))}))) for name in ("a", "b")]
    whole = joined(parts, ["first", "second"])
    assert (whole.tensors, whole.bytes_by_type, list(whole.table)) == (2, {"F32": 64}, ["a", "b"])
    assert whole.metadata == {"k": "v"}


def test_parts_with_the_same_tensor_contradict_each_other() -> None:
    part = read_header(Memory(gguf({}, {"a": (0, (8,))})))
    with pytest.raises(LlmserveError, match="'a' is in first and in second"):
        joined([part, part], ["first", "second"])


def test_what_has_been_read_is_not_read_again() -> None:
    blob = Memory(gguf({"tokens": [f"token {i}" for i in range(20_000)]}))
    read_header(blob)
    assert blob.served <= len(blob.content)


def test_weights_are_not_read() -> None:
    blob = Memory(gguf({"a": "b"}, {"big": (0, (1 << 20,))}))
    assert read_header(blob).data_bytes == 4 << 20
    assert blob.served == 65536


def test_a_large_vocabulary_is_stepped_over() -> None:
    metadata = {"tokens": [f"token {i}" for i in range(200_000)], "after": ("u32", 5)}
    header = read_header(Memory(gguf(metadata)))
    assert header.lengths["tokens"] == 200_000
    assert header.metadata == {"tokens": (), "after": 5}


def test_values_are_written_as_the_specification_says() -> None:
    assert value(("u32", 1)) == b"\4\0\0\0\1\0\0\0"
