"""The journal of unfinished files: what it says is true or is not believed."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.models.hub.digest import Digest
from llmserve.models.hub.partial import Partial, fetched
from llmserve.models.hub.places import Place, in_cache
from llmserve.models.hub.plan import Wanted
from tests.fakes.hub import FakeHub
from tests.unit.models.pulled import CHUNK, REPO, SIZES, Pull, content, is_complete, made_up_hub, plan_of, sha256

SIZE, SMALL_CHUNK = 10 * 4096 + 17, 4096
DATA = content("data", SIZE)
FILE = Wanted(name="x.bin", size_bytes=SIZE, etag=sha256(DATA), sha256=sha256(DATA))
BUFFER = memoryview(bytearray(3000))
NAME = "model-2.safetensors"


def place_in(folder: Path) -> Place:
    return Place(folder / "blob", unfinished=folder / "blob", lock=folder / "lock")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("LLMSERVE_CHUNK_BYTES", str(SMALL_CHUNK))
    return place_in(tmp_path)


def put(partial: Partial, digest: Digest | None, index: int, count: int) -> None:
    """The next ``count`` bytes of a chunk arrive."""
    offset, before = index * partial.chunk + partial.done[index], partial.crc[index]
    piece = memoryview(DATA)[offset : offset + min(count, partial.length(index) - partial.done[index])]
    partial.write(index, piece)
    if digest:
        digest.arrived(offset, piece, before, partial.crc[index])


def test_what_was_written_is_known_to_the_next(place: Place) -> None:
    partial = Partial(place, SIZE, SMALL_CHUNK)
    put(partial, None, 2, 4096)
    put(partial, None, 10, 17)
    put(partial, None, 4, 100)
    put(partial, None, 4, 50)
    partial.close()
    again = Partial(place, SIZE, SMALL_CHUNK)
    assert (again.done, again.crc) == (partial.done, partial.crc)
    assert fetched(place, SIZE) == again.fetched == 4096 + 17 + 150
    assert again.is_whole(10)
    assert not again.is_whole(4)
    again.close()


def test_another_file_or_size_of_chunks_is_not_taken_for_this_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = Partial(place, SIZE, SMALL_CHUNK)
    put(partial, None, 0, 4096)
    partial.close()
    assert fetched(place, SIZE - 1) == 0
    monkeypatch.setenv("LLMSERVE_CHUNK_BYTES", str(2 * SMALL_CHUNK))
    assert fetched(place, SIZE) == 0


def test_a_file_that_was_cut_short_has_less(place: Place) -> None:
    partial = Partial(place, SIZE, SMALL_CHUNK)
    for index in (0, 1, 2):
        put(partial, None, index, 4096)
    partial.close()
    os.truncate(place.pieces, 2 * 4096 + 5)
    assert fetched(place, SIZE) == 2 * 4096
    place.pieces.unlink()
    assert fetched(place, SIZE) == 0


@given(noise=st.binary(max_size=400), at=st.integers(0, 200))
@settings(max_examples=60)
def test_no_noise_in_the_journal_is_believed(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    """Records are found whole or not at all: 2**-32 is the chance of any other."""
    place = place_in(tmp_path_factory.mktemp("noise"))
    partial = Partial(place, SIZE, SMALL_CHUNK)
    for index in range(partial.count):
        put(partial, None, index, 4096)
    partial.close()
    good = place.journal.read_bytes()
    place.journal.write_bytes(good[:at] + noise + good[at + len(noise) :])
    damaged = Partial(place, SIZE, SMALL_CHUNK)
    assert all(has in (0, whole) for has, whole in zip(damaged.done, partial.done, strict=True))
    assert place.journal.stat().st_size == len(good)
    damaged.close()


@given(seed=st.integers(0, 10**9), order=st.permutations(range(11)))
@settings(max_examples=50)
def test_the_hash_is_right_in_any_order(tmp_path_factory: pytest.TempPathFactory, seed: int, order: list[int]) -> None:
    partial = Partial(place_in(tmp_path_factory.mktemp("order")), SIZE, SMALL_CHUNK)
    digest, chance = Digest(FILE, partial), random.Random(seed)
    for index in order:
        while not partial.is_whole(index):
            put(partial, digest if chance.random() < 0.8 else None, index, chance.randrange(1, 5000))
            if chance.random() < 0.5:
                assert digest.catch_up(BUFFER) is None
    assert digest.catch_up(BUFFER, wait=True) is None
    assert digest.complete
    assert digest.result() == sha256(DATA)
    partial.close()


@given(damaged=st.sets(st.integers(0, SIZE - 1), max_size=4), seen=st.booleans())
@settings(max_examples=50)
def test_damage_on_the_disk_is_found_and_put_right(
    tmp_path_factory: pytest.TempPathFactory, damaged: set[int], seen: bool
) -> None:
    """Only chunks with damage come again."""
    place = place_in(tmp_path_factory.mktemp("damage"))
    partial = Partial(place, SIZE, SMALL_CHUNK)
    for index in range(partial.count):
        put(partial, None, index, 4096)
    with place.pieces.open("r+b") as file:
        for offset in damaged:
            file.seek(offset)
            file.write(bytes([DATA[offset] ^ 0x55]))
    digest, again = Digest(FILE, partial), set()
    while (bad := digest.catch_up(BUFFER, wait=True)) is not None:
        again.add(bad)
        partial.forget(bad)
        put(partial, digest if seen else None, bad, 4096)
    assert again == {offset // SMALL_CHUNK for offset in damaged}
    assert digest.result() == sha256(DATA)
    partial.close()


def test_damage_in_the_beginning_of_a_chunk_is_found_when_it_ends(place: Place) -> None:
    partial = Partial(place, SIZE, SMALL_CHUNK)
    put(partial, None, 0, 1000)
    digest = Digest(FILE, partial)
    with place.pieces.open("r+b") as file:
        file.write(b"damage")
    assert digest.catch_up(BUFFER) is None
    put(partial, digest, 0, 4096)
    assert digest.catch_up(BUFFER) == 0
    partial.close()


def test_damage_in_a_chunk_left_in_work_is_found_at_once(place: Place) -> None:
    partial = Partial(place, SIZE, SMALL_CHUNK)
    put(partial, None, 0, 1000)
    put(partial, None, 1, 1000)
    partial.close()
    with place.pieces.open("r+b") as file:
        file.write(b"damage")
    assert fetched(place, SIZE) == 1000


@pytest.mark.parametrize(("written", "kept"), [(0, 1000), (300, 1000), (500, 1500)])
def test_a_kill_between_the_note_and_its_bytes_loses_neither(place: Place, written: int, kept: int) -> None:
    """The second write of a chunk is noted, and ``written`` of its 500 bytes reach the disk before the process ends."""
    partial = Partial(place, SIZE, SMALL_CHUNK)
    put(partial, None, 0, 1000)
    put(partial, None, 0, 500)
    partial.close()
    os.truncate(place.pieces, 1000 + written)
    assert fetched(place, SIZE) == kept


def test_what_a_full_disk_still_took_is_noted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    partial, write = Partial(place, SIZE, SMALL_CHUNK), os.pwrite

    def full(descriptor: int, content: memoryview, offset: int) -> int:
        if len(content) < 100:
            return write(descriptor, content, offset)  # the journal has its room already
        if offset:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, content[:700], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="full"):
        put(partial, None, 0, 1000)
    partial.close()
    assert fetched(place, SIZE) == 700


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("LLMSERVE_CHUNK_BYTES", str(CHUNK))
    with made_up_hub() as hub:
        yield hub


def begin(hub: FakeHub, chunks: int) -> Place:
    """An unfinished file, of which every other chunk is here until there are ``chunks``, and half of the one after."""
    plan = plan_of(hub, only=(NAME,))
    place = in_cache(REPO, plan.commit, NAME, str(plan.files[0].etag))
    place.content.parent.mkdir(parents=True)
    whole = memoryview(hub.repos[REPO].files[NAME][:])
    partial = Partial(place, len(whole), CHUNK)
    step = max(1, partial.count // chunks)
    for index in range(0, chunks * step, step):
        partial.write(index, whole[index * CHUNK : (index + 1) * CHUNK])
    if not partial.is_whole(partial.count - 1):
        partial.write(partial.count - 1, whole[(partial.count - 1) * CHUNK :][: CHUNK // 2])
    partial.close()
    return place


def go_on(hub: FakeHub) -> int:
    """Bytes that it took to complete the file."""
    assert is_complete(hub, Pull(hub)(plan_of(hub, only=(NAME,))), (NAME,))
    return hub.served[NAME]


def test_a_damaged_piece_costs_its_chunk(hub: FakeHub) -> None:
    place = begin(hub, 10)
    with place.pieces.open("r+b") as file:
        file.seek(2 * CHUNK + 5)
        file.write(b"damage")
    assert go_on(hub) == SIZES[NAME] - 9 * CHUNK - CHUNK // 2


def test_a_lost_journal_costs_no_correctness(hub: FakeHub) -> None:
    begin(hub, 10).journal.unlink()
    assert go_on(hub) == SIZES[NAME]


def test_a_complete_file_without_its_name_is_not_fetched_again(hub: FakeHub) -> None:
    """Killed after its last byte, before its hash was known."""
    begin(hub, SIZES[NAME] // CHUNK)
    assert go_on(hub) == 0
