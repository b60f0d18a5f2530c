"""Damage of every kind in a cache made by hand, and its repair from a fake hub."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError
from llmserve.models import describe, fetch, house, integrity, is_cached, resolve
from llmserve.models.expected import Expected
from llmserve.models.hub.api import Hub
from llmserve.models.integrity import Report
from tests.fakes.hub import FakeHub
from tests.fakes.hub_cache import COMMIT, blob_name, put

FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"w" * 10_000_000, "notes.txt": b""}


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    return home / "hub"


def checked(cache: Path, listing: dict[str, Expected] | None = None) -> Report:
    (entry,) = house.scan(cache)
    return integrity.verify(entry.snapshots, {COMMIT: listing} if listing is not None else {})


def problems(report: Report) -> list[tuple[str, str]]:
    return [(finding.file.name, finding.problem) for finding in report.findings]


def test_what_is_right_is_right(cache: Path) -> None:
    put(cache, "org/a", FILES)
    report = checked(cache)
    assert report == Report(files=3, size_bytes=sum(map(len, FILES.values())))


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_byte_is_found(cache: Path, name: str, tree: bool) -> None:
    snapshot = put(cache, "org/a", FILES, tree=tree)
    content = bytearray(FILES[name])
    content[len(content) // 2] ^= 1
    (snapshot / name).write_bytes(content)
    assert problems(checked(cache)) == [(name, "hash")]


def test_a_wrong_length_is_found_by_the_listing_without_reading(cache: Path) -> None:
    snapshot = put(cache, "org/a", FILES, tree=True)
    (snapshot / "model.safetensors").write_bytes(b"w" * 9_999_999)
    (found,) = checked(cache).findings
    assert (found.problem, found.text) == ("size", "has 9,999,999 bytes instead of 10,000,000")


def test_a_wrong_length_is_found_without_a_listing(cache: Path) -> None:
    snapshot = put(cache, "org/a", FILES)
    (snapshot / "model.safetensors").write_bytes(b"w" * 9_999_999)
    assert problems(checked(cache)) == [("model.safetensors", "hash")]


def test_a_link_to_nothing_is_found(cache: Path) -> None:
    snapshot = put(cache, "org/a", FILES)
    (snapshot / "config.json").resolve().unlink()
    assert problems(checked(cache)) == [("config.json", "missing")]


def test_the_hub_knows_better_than_the_name_of_a_blob(cache: Path) -> None:
    """A file can be what its blob is named after, and still not be what the commit has."""
    put(cache, "org/a", FILES)
    right = {
        name: Expected(size_bytes=len(content), content_hash=blob_name(name, content))
        for name, content in FILES.items()
    }
    assert problems(checked(cache, right)) == []
    other = right | {"config.json": Expected(size_bytes=8, content_hash=blob_name("config.json", b'{"a": 2}'))}
    assert problems(checked(cache, other)) == [("config.json", "hash")]


def test_a_file_without_a_hash_is_said_to_be_unchecked(cache: Path) -> None:
    snapshot = cache / "models--org--a" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.gguf").write_bytes(b"x")
    report = checked(cache)
    assert (report.findings, report.unchecked) == ((), ("model.gguf",))
    known = {"model.gguf": Expected(size_bytes=1, content_hash=blob_name("model.gguf", b"x"))}
    assert checked(cache, known).unchecked == ()
    wrong = {"model.gguf": Expected(size_bytes=1, content_hash=blob_name("model.gguf", b"y"))}
    assert problems(checked(cache, wrong)) == [("model.gguf", "hash")]


def test_a_damaged_listing_is_none(cache: Path) -> None:
    put(cache, "org/a", FILES, tree=True)
    for nonsense in ("", "[]", '{"files": {"config.json": {"size": "many"}}}', '{"files": 7}'):
        (cache / "models--org--a" / "trees" / f"{COMMIT}.json").write_text(nonsense)
        assert problems(checked(cache)) == []


def test_a_content_of_two_revisions_is_read_once(cache: Path) -> None:
    put(cache, "org/a", FILES)
    put(cache, "org/a", FILES, commit="b" * 40, ref="v2")
    report = checked(cache)
    assert (report.files, report.size_bytes) == (6, sum(map(len, FILES.values())))
    (cache / "models--org--a/blobs" / blob_name("config.json", FILES["config.json"])).write_bytes(b'{"b": 1}')
    assert problems(checked(cache)) == [("config.json", "hash")] * 2
    assert checked(cache).names == ("config.json",)


def test_progress_ends_with_all(cache: Path) -> None:
    put(cache, "org/a", FILES)
    (entry,) = house.scan(cache)
    seen: list[tuple[int, int]] = []
    integrity.verify(entry.snapshots, {}, lambda done, total, _: seen.append((done, total)))
    assert seen[-1] == (10_000_008, 10_000_008)
    assert seen == sorted(seen)


def test_an_interruption_ends_the_reading(cache: Path) -> None:
    put(cache, "org/a", FILES)
    (entry,) = house.scan(cache)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrity.verify(entry.snapshots, {}, interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify")]


def fetched(ref: str) -> Path:
    candidate = resolve(ref)
    return fetch(describe(candidate, candidate.formats[0]))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.resolve().chmod(0o644)
    path.write_bytes(content)


def test_only_damaged_files_are_fetched_again(hub: FakeHub, cache: Path, tiny_folder: Path) -> None:
    folder = fetched("org/tiny")
    for name in ("model.safetensors", "config.json"):
        damage(folder / name)
    (entry,) = house.scan()
    report = integrity.verify(entry.snapshots, {})
    assert sorted(report.names) == ["config.json", "model.safetensors"]
    hub.served.clear()
    with closing(Hub()) as asked:
        assert sorted(integrity.mend(entry, report.findings, asked)) == ["config.json", "model.safetensors"]
    assert {name: count for name, count in hub.served.items() if count} == {
        name: (tiny_folder / name).stat().st_size for name in ("model.safetensors", "config.json")
    }
    (entry,) = house.scan()
    assert integrity.verify(entry.snapshots, {}).findings == ()
    assert is_cached(resolve("org/tiny"))


def test_nothing_is_thrown_away_for_a_hub_that_does_not_answer(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetched("org/tiny")
    damage(folder / "config.json")
    (entry,) = house.scan()
    report = integrity.verify(entry.snapshots, {})
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LlmserveError) as caught, closing(Hub()) as gone:
        integrity.mend(entry, report.findings, gone)
    assert caught.value.code == "hub_unreachable"
    assert (folder / "config.json").is_file()


def test_repair_removes_nothing_outside_the_cache(hub: FakeHub, cache: Path, home: Path) -> None:
    folder = fetched("org/tiny")
    mine = home / "mine.json"
    mine.write_bytes(b"precious")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(mine)
    (entry,) = house.scan()
    report = integrity.verify(entry.snapshots, {})
    assert report.names == ("config.json",)
    with closing(Hub()) as asked:
        integrity.mend(entry, report.findings, asked)
    assert mine.read_bytes() == b"precious"
    (entry,) = house.scan()
    assert integrity.verify(entry.snapshots, {}).findings == ()
