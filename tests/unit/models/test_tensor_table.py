from __future__ import annotations

import gc

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.headers import table
from llmserve.models.headers.table import Table, Tensor
from llmserve.models.tensors import TensorGroup

LAYER: Table = {
    "model.layers.0.mlp.experts.0.up_proj.weight": Tensor("F8_E4M3", 100, [10, 10]),
    "model.layers.0.mlp.experts.17.up_proj.weight": Tensor("F8_E4M3", 100, [10, 10]),
    "model.layers.0.mlp.experts.17.up_proj.weight_scale_inv": Tensor("F32", 4, [1, 1]),
    "model.layers.0.self_attn.q_proj.weight": Tensor("BF16", 50, [5, 5]),
    "model.layers.1.mlp.experts.17.up_proj.weight": Tensor("F8_E4M3", 100, [10, 10]),
}


def shape(found: Table, *, layers: int = 2, vocab_size: int = 100, hidden_size: int = 16) -> None:
    table.check_shape(found, "here", layers=layers, vocab_size=vocab_size, hidden_size=hidden_size)


def test_bytes_are_added_up_by_role_and_type() -> None:
    assert table.groups(LAYER, layers=2) == (
        TensorGroup(role="experts", dtype="F8_E4M3", size_bytes=300),
        TensorGroup(role="query", dtype="BF16", size_bytes=50),
        TensorGroup(role="experts", dtype="F32", size_bytes=4),
    )


def test_experts_of_layers_for_drafts_are_drafts() -> None:
    found = table.groups(LAYER, layers=1, mtp_layers=1)
    assert {(group.role, group.size_bytes) for group in found} == {
        ("experts", 200), ("draft", 100), ("query", 50), ("experts", 4),
    }  # fmt: skip


def test_types_are_added_up() -> None:
    assert table.by_dtype(table.groups(LAYER, layers=2)) == {"F8_E4M3": 300, "BF16": 50, "F32": 4}


def test_tables_are_joined() -> None:
    one, other = {"a": Tensor("F32", 4, [1])}, {"b": Tensor("F32", 4, [1])}
    assert table.joined({"1": one, "2": other}, "here") == one | other


def test_a_tensor_in_two_files_contradicts_itself() -> None:
    one = {"a": Tensor("F32", 4, [1])}
    with pytest.raises(LlmserveError) as caught:
        table.joined({"x.safetensors": one, "y.safetensors": one}, "org/m")
    assert caught.value.message == "org/m contradicts itself: 'a' is in x.safetensors and in y.safetensors."


@pytest.mark.parametrize(
    ("index", "words"),
    [({"a": "y"}, "the index puts 'a' into y, but it is in x"), ({"c": "x"}, "puts 'c' into x, but no file has it")],
)
def test_an_index_that_is_wrong(index: dict[str, str], words: str) -> None:
    tables: dict[str, Table] = {"x": {"a": Tensor("F32", 4, [1])}, "y": {"b": Tensor("F32", 4, [1])}}
    with pytest.raises(LlmserveError, match=words) as caught:
        table.check_index(index, tables, "here")
    assert caught.value.code == "broken_checkpoint"
    table.check_index({"a": "x"}, tables, "here")


def test_layers_that_are_missing_are_noticed() -> None:
    shape(LAYER)
    with pytest.raises(LlmserveError, match="says 4 layers, and the weights end with layer 2"):
        shape(LAYER, layers=4)
    shape({"unheard.of": Tensor("F32", 4, [1])}, layers=4)


@pytest.mark.parametrize(
    ("rows", "columns", "right"), [(100, 16, True), (128, 16, True), (99, 16, False), (100, 8, False)]
)
def test_the_embedding_has_the_size_that_the_configuration_says(rows: int, columns: int, right: bool) -> None:
    found = {"model.embed_tokens.weight": Tensor("BF16", 2 * rows * columns, [rows, columns])}
    if right:
        shape(found)
        return
    with pytest.raises(LlmserveError, match=f"is {rows} x {columns}, not 100 x 16"):
        shape(found)


@pytest.mark.parametrize(
    "found",
    [
        {"model.embed_tokens.weight": Tensor("U8", 8, [8, 1])},
        {"model.embed_tokens.weight": Tensor("BF16", 16, [8])},
        {"model.layers.1.embed_tokens.weight": Tensor("BF16", 16, [4, 2])},
        {name: Tensor("BF16", 16, [4, 2]) for name in ("thinker.embed_tokens.weight", "talker.embed_tokens.weight")},
    ],
)
def test_embeddings_of_which_nothing_can_be_said_are_left_alone(found: Table) -> None:
    shape(found)


def test_collection_is_off_only_meanwhile() -> None:
    with table.without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
