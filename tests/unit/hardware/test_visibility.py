from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.hardware.machine import Gpu, Vendor
from llmserve.hardware.visibility import apply


def gpu(index: int, uuid: str, vendor: Vendor = "nvidia", name: str = "card", **changes: object) -> Gpu:
    facts: dict[str, object] = {"total_bytes": 100, "free_bytes": 90, "vendor": vendor, "name": name} | changes
    return Gpu(index=index, uuid=uuid, **facts)  # type: ignore[arg-type]


CARDS = tuple(gpu(i, f"GPU-{letter}{i}-{letter * 4}") for i, letter in enumerate("aabc"))
"""Four cards; the first two share the beginning GPU-a."""
PARENT = "GPU-feed-0"
SLICES = (
    *(gpu(0, f"MIG-{letter}-1", mig=True, parent_uuid=PARENT) for letter in "xy"),
    gpu(1, "GPU-whole-1"),
)
AMD = tuple(gpu(i, f"GPU-{i}a{'0' * 14}", "amd") for i in range(4))


def indices(gpus: tuple[Gpu, ...], environment: Mapping[str, str]) -> list[int]:
    return [gpu.index for gpu in apply(gpus, environment)[0]]


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("0", [0]),
        ("0,1,2,3", [0, 1, 2, 3]),
        ("3,1", [3, 1]),
        (" 2 , 0 ", [2, 0]),
        ("+1", [1]),
        ("1st,2nd", [1, 2]),
        ("", []),
        ("-1", []),
        ("-1,0", []),
        ("1,-1,0", [1]),
        ("0,2,9,1", [0, 2]),
        ("1,,2", [1]),
        ("NoDevFiles", []),
        ("all", []),
        ("none", []),
        ("0,0", []),
        ("2,1,2", []),
        ("2,9,2", [2]),
        ("99999999999999999999", []),
        ("²", []),
        (CARDS[2].uuid, [2]),
        (f"{CARDS[3].uuid},{CARDS[0].uuid}", [3, 0]),
        ("GPU-b,GPU-c", [2, 3]),
        ("GPU-a1", [1]),
        ("GPU-b,GPU-a", [2]),
        ("GPU-a", []),
        ("GPU-", []),
        ("GPU-zz,GPU-b", []),
        ("GPU-b,GPU-b2", []),
        ("GPU-b,1", [2]),
        ("1,GPU-b", [1]),
        ("gpu-b", []),
        ("MIG-x-1", []),
    ],
)
def test_cuda_visible_devices(value: str, visible: list[int]) -> None:
    assert indices(CARDS, {"CUDA_VISIBLE_DEVICES": value}) == visible


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("MIG-y-1", ["MIG-y-1"]),
        ("MIG-y-1,MIG-x-1", ["MIG-y-1", "MIG-x-1"]),
        ("MIG-x", ["MIG-x-1"]),
        ("MIG-", []),
        ("MIG-y-1,GPU-whole-1", ["MIG-y-1"]),
        ("0", ["MIG-x-1"]),
        ("1", ["GPU-whole-1"]),
        ("GPU-feed", ["MIG-x-1"]),
        ("GPU-whole-1", ["GPU-whole-1"]),
    ],
)
def test_slices_by_their_own_uuid_and_the_first_of_a_card_by_the_cards_names(value: str, visible: list[str]) -> None:
    assert [gpu.uuid for gpu in apply(SLICES, {"CUDA_VISIBLE_DEVICES": value})[0]] == visible


@pytest.mark.parametrize(
    ("environment", "visible"),
    [
        ({"HIP_VISIBLE_DEVICES": "2,0"}, [2, 0]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"HIP_VISIBLE_DEVICES": "1,7,2"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "1x"}, []),
        ({"HIP_VISIBLE_DEVICES": "1,1,3"}, [1, 3]),
        ({"HIP_VISIBLE_DEVICES": "GPU-3a,0"}, [3, 0]),
        ({"HIP_VISIBLE_DEVICES": "gpu-2A"}, [2]),
        ({"CUDA_VISIBLE_DEVICES": "3"}, [3]),
        ({"CUDA_VISIBLE_DEVICES": "3", "HIP_VISIBLE_DEVICES": "0"}, [0]),
        ({"ROCR_VISIBLE_DEVICES": "3,1"}, [3, 1]),
        ({"ROCR_VISIBLE_DEVICES": "1,1,3"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, [3]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-1a,3", "HIP_VISIBLE_DEVICES": "1,0"}, [3, 1]),
        ({"ROCR_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "0"}, []),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_amd_variables_and_how_they_stack(environment: dict[str, str], visible: list[int]) -> None:
    assert indices(AMD, environment) == visible


def test_variables_of_one_vendor_leave_the_other_alone() -> None:
    both = CARDS + AMD
    assert indices(both, {"HIP_VISIBLE_DEVICES": "1"}) == [0, 1, 2, 3, 1]
    apple = (gpu(0, "apple-0", "apple"),)
    assert indices(apple, {"CUDA_VISIBLE_DEVICES": ""}) == [0]


def test_the_container_runtimes_variable_hides_nothing_that_the_driver_shows() -> None:
    """CDI sets ``void`` in containers that do have GPUs."""
    for value in ("void", "none", "all", "0"):
        assert apply(CARDS, {"NVIDIA_VISIBLE_DEVICES": value}) == (CARDS, ())
    assert "this container got no GPU" in apply((), {"NVIDIA_VISIBLE_DEVICES": "void"})[1][0]
    assert apply((), {"NVIDIA_VISIBLE_DEVICES": "all"}) == ((), ())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "CUDA_VISIBLE_DEVICES='' hides every GPU."),
        ("all", "CUDA_VISIBLE_DEVICES='all' hides every GPU."),
        ("0,9,1", "CUDA_VISIBLE_DEVICES='0,9,1': the driver ignores '9' and what follows."),
    ],
)
def test_what_a_variable_did_is_said(value: str, words: str) -> None:
    assert apply(CARDS, {"CUDA_VISIBLE_DEVICES": value})[1] == (words,)


def test_a_list_ended_on_purpose_needs_no_words() -> None:
    assert apply(CARDS, {"CUDA_VISIBLE_DEVICES": "0,-1,1"})[1] == ()


def test_ordinals_among_unlike_cards_are_ambiguous_without_bus_order() -> None:
    unlike = (gpu(0, "GPU-0", name="RTX 3060"), gpu(1, "GPU-1", name="RTX 4090"))
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in apply(unlike, {"CUDA_VISIBLE_DEVICES": "0"})[1][0]
    assert apply(unlike, {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})[1] == ()
    assert apply(unlike, {"CUDA_VISIBLE_DEVICES": "GPU-1"})[1] == ()
    assert apply(CARDS, {"CUDA_VISIBLE_DEVICES": "0"})[1] == ()


entries = st.one_of(
    st.integers(-2, 6).map(str),
    st.sampled_from([card.uuid for card in CARDS + AMD + SLICES]),
    st.sampled_from(["GPU-a", "GPU-b", "GPU-", "MIG-", "MIG-x", "", " 1 ", "1x", "gpu-0a", "all"]),
    st.text(max_size=6),
)
values = st.lists(entries, max_size=6).map(",".join)


@given(
    st.sampled_from([CARDS, SLICES, AMD]),
    st.dictionaries(
        st.sampled_from(["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]), values, max_size=3
    ),
)
def test_what_stays_visible_is_a_choice_without_repeats(gpus: tuple[Gpu, ...], environment: dict[str, str]) -> None:
    visible, notes = apply(gpus, environment)
    assert set(visible) <= set(gpus)
    assert len(set(visible)) == len(visible)
    assert all(note.endswith(".") for note in notes)


@given(st.lists(st.integers(0, 3), unique=True, min_size=1), st.booleans())
def test_what_is_named_well_is_visible_in_that_order(order: list[int], by_uuid: bool) -> None:
    value = ",".join(CARDS[i].uuid if by_uuid else str(i) for i in order)
    assert indices(CARDS, {"CUDA_VISIBLE_DEVICES": value}) == order
    assert indices(AMD, {"ROCR_VISIBLE_DEVICES": ",".join(AMD[i].uuid for i in order)}) == order


@given(values, entries)
def test_adding_an_entry_at_the_end_never_reorders_what_is_there(value: str, entry: str) -> None:
    before = indices(CARDS, {"CUDA_VISIBLE_DEVICES": value})
    after = indices(CARDS, {"CUDA_VISIBLE_DEVICES": f"{value},{entry}"})
    assert after in ([], before) or after[: len(before)] == before
