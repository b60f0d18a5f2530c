"""How many users fit, by the length of their conversations: from a plan's pools alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.models.layers import AttentionLayers, CompressedLayers, StateLayers
from llmserve.plan import users
from llmserve.plan.plan import Plan
from tests.fakes.machines import llama_8b, qwen3_8b
from tests.fakes.plans import on_the_cpu, qwen3_8b_plan


def plan(kv_tokens: int = 100_000, *, most: int = 256, band: tuple[int, int] | None = None, **changes: int) -> Plan:
    plain = qwen3_8b_plan()
    arrangement = {name: changes.pop(name) for name in list(changes) if name.endswith("_parallel")}
    context = changes.pop("context", plain.context)
    predicted = replace(
        plain.predicted, kv_tokens=kv_tokens, band=band or (kv_tokens, kv_tokens), max_running_requests=most, **changes
    )
    return qwen3_8b_plan(predicted=predicted, context=context, **arrangement)


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (32_768, [4096, 8192, 16_384, 32_768]),
        (40_960, [4096, 8192, 16_384, 32_768, 40_960]),
        (4096, [4096]),
        (512, [512]),
        (1_010_000, [4096 * 2**i for i in range(8)] + [1_010_000]),
    ],
)
def test_contexts_are_powers_of_two_up_to_the_longest(longest: int, expected: list[int]) -> None:
    assert users.contexts(longest) == expected


def test_the_plans_own_context_has_an_entry_of_its_own() -> None:
    assert users.contexts(32_768, 20_224) == [4096, 8192, 16_384, 20_224, 32_768]
    assert users.contexts(8192, 100_000) == [4096, 8192]


def test_a_conversation_is_served_whole_or_not_at_all() -> None:
    assert users.at(plan(99_999), 50_000).users == 1
    assert users.at(plan(100_000), 50_000).users == 2


def test_running_requests_bound_short_conversations() -> None:
    short = users.at(plan(1_000_000, most=64), 4096)
    assert (short.users, short.limit) == (64, "requests")
    long = users.at(plan(1_000_000, most=64), 32_768)
    assert (long.users, long.limit) == (30, "memory")


def test_copies_and_attention_groups_have_pools_of_their_own() -> None:
    """SGLang's bound on running requests holds for a copy, and is shared out among its attention groups."""
    assert users.at(plan(50_000, data_parallel=4), 40_000).users == 4
    assert users.at(plan(50_000, attention_data_parallel=8), 40_000).users == 8
    assert users.at(plan(50_000, most=6, attention_data_parallel=8), 40_000).users == 6
    assert users.at(plan(500_000, most=6, data_parallel=2), 4096).users == 12


def test_a_window_pool_holds_the_window_and_what_is_not_freed_yet() -> None:
    windowed = plan(240_000, most=4096, window_tokens=48_000)
    assert users.at(windowed, 1024, window=128).limit == "window"
    assert users.at(windowed, 1024, window=128).users == 48_000 // 256
    assert users.at(windowed, 16_384, window=128).limit == "memory"
    assert users.at(windowed, 64, window=128).users == 48_000 // 64
    assert users.at(windowed, 1024).limit == "memory"  # the window is not known


def test_states_are_slots_and_do_not_grow_with_the_context() -> None:
    hybrid = plan(1_000_000, most=512, state_slots=52)
    assert [users.at(hybrid, size).users for size in (4096, 16_384)] == [52, 52]
    assert users.at(hybrid, 4096).limit == "states"
    assert users.at(hybrid, 32_768).users == 30


def test_the_low_end_of_the_band_is_what_can_be_promised() -> None:
    entry = users.at(plan(100_000, band=(79_000, 120_000)), 10_000)
    assert (entry.users, entry.least) == (10, 7)
    bounded = users.at(plan(100_000, most=4, band=(79_000, 120_000)), 10_000)
    assert (bounded.users, bounded.least) == (4, 4)


def test_the_table_ends_with_the_first_context_that_does_not_fit() -> None:
    table = users.table(plan(20_000, context=16_384), llama_8b())
    assert [(entry.context, entry.users) for entry in table] == [(4096, 4), (8192, 2), (16_384, 1), (32_768, 0)]
    assert [entry.planned for entry in table] == [True, True, True, False]


def test_llamacpp_has_fixed_slots_and_longer_ones_take_another_plan() -> None:
    table = users.table(on_the_cpu(), replace(qwen3_8b(), context_length=32_768))
    assert [(entry.context, entry.users, entry.planned) for entry in table] == [
        (4096, 4, True), (8192, 4, True), (16_384, 2, False), (32_768, 1, False),
    ]  # fmt: skip


def test_the_window_is_the_longest_of_the_layers_that_have_one() -> None:
    full = AttentionLayers(layers=12, kv_heads=8, key_dim=64, value_dim=64)
    assert users.window(llama_8b(cache=(full,))) is None
    assert users.window(llama_8b(cache=(full, replace(full, window=128), replace(full, window=1024)))) == 1024
    compressed = CompressedLayers(ratios=(0, 4), head_dim=512, rope_dim=64, index_dim=128, window=4096)
    assert users.window(llama_8b(cache=(compressed, StateLayers(layers=3, kind="conv")))) == 4096


@given(
    tokens=st.integers(0, 10**7),
    shorter=st.integers(1, 10**6),
    longer=st.integers(1, 10**6),
    groups=st.sampled_from([1, 2, 8]),
    most=st.integers(1, 4096),
)
def test_longer_conversations_never_leave_room_for_more_users(
    tokens: int, shorter: int, longer: int, groups: int, most: int
) -> None:
    shorter, longer = sorted((shorter, longer))
    pools = plan(tokens, most=most, attention_data_parallel=groups)
    few, many = users.at(pools, longer), users.at(pools, shorter)
    assert few.users <= many.users
    assert few.users * longer <= tokens * groups
    assert 0 <= many.least <= many.users <= most
