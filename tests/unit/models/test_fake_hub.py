"""The hub of the tests, as the real client sees it: what it pretends has to be what that client expects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.fakes.hub import FakeHub, Fault, Hollow, Repo

WEIGHTS = bytes(range(256)) * 1000


@pytest.fixture
def repo(hub: FakeHub) -> Repo:
    hub.repos["org/plain"] = Repo(
        {"model.safetensors": WEIGHTS, "a/b.json": b"{}"}, card={"base_model": "org/base", "license": "mit"}
    )
    return hub.repos["org/plain"]


def fetched(hub: FakeHub, home: Path, repo: str = "org/plain") -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, endpoint=hub.url, cache_dir=home / "hf"))


def test_the_real_client_fetches(hub: FakeHub, repo: Repo, home: Path) -> None:
    folder = fetched(hub, home)
    assert {name: (folder / name).read_bytes() for name in repo.files} == repo.files
    assert (folder / "model.safetensors").readlink().name == repo.about["model.safetensors"]["lfs"]["oid"]
    assert (folder / "a/b.json").readlink().name == repo.about["a/b.json"]["oid"]


def test_small_files_may_be_relayed(hub: FakeHub, repo: Repo, home: Path) -> None:
    hub.relay = True
    assert (fetched(hub, home) / "a/b.json").read_bytes() == b"{}"
    assert any("/api/resolve-cache/models/org/plain/" in request for request in hub.requests)


def test_a_long_tree_has_pages(hub: FakeHub, home: Path) -> None:
    hub.repos["org/many"] = Repo({f"{number}.json": b"%d" % number for number in range(1100)})
    from huggingface_hub import HfApi

    listed = HfApi(endpoint=hub.url).list_repo_files("org/many")
    tree = list(HfApi(endpoint=hub.url).list_repo_tree("org/many", recursive=True))
    assert (len(listed), len(tree)) == (1100, 1100)


def test_what_the_hub_says_of_a_model(hub: FakeHub, repo: Repo) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.url, token="reader")
    repo.revisions["v1"] = repo.commit
    about = api.model_info("org/plain", files_metadata=True)
    assert about.card_data is not None
    assert about.card_data.base_model == "org/base"
    (large,) = [file for file in about.siblings or () if file.lfs]
    assert (large.rfilename, large.size) == ("model.safetensors", len(WEIGHTS))
    assert [branch.name for branch in api.list_repo_refs("org/plain").branches] == ["main", "v1"]
    assert api.whoami()["name"] == "somebody"


def place(hub: FakeHub, repo: Repo) -> str:
    """The signed address of the weights."""
    with urlopen(Request(f"{hub.url}/org/plain/resolve/main/model.safetensors", method="HEAD")) as answer:
        assert answer.headers["ETag"] == f'"{repo.about["model.safetensors"]["lfs"]["oid"]}"'
        return str(answer.url)


def part(url: str, wanted: str) -> tuple[int, str, bytes]:
    with urlopen(Request(url, headers={"Range": wanted})) as answer:
        return answer.status, answer.headers["Content-Range"], answer.read()


def refused(url: str, wanted: str = "bytes=0-") -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        part(url, wanted)
    caught.value.close()
    return caught.value


def test_ranges(hub: FakeHub, repo: Repo) -> None:
    url, size = place(hub, repo), len(WEIGHTS)
    assert part(url, "bytes=10-19") == (206, f"bytes 10-19/{size}", WEIGHTS[10:20])
    assert part(url, f"bytes={size - 5}-") == (206, f"bytes {size - 5}-{size - 1}/{size}", WEIGHTS[-5:])
    assert part(url, "bytes=-5") == (206, f"bytes {size - 5}-{size - 1}/{size}", WEIGHTS[-5:])
    assert part(url, f"bytes=10-{10 * size}")[1] == f"bytes 10-{size - 1}/{size}"
    error = refused(url, f"bytes={size}-")
    assert (error.code, error.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_signed_addresses_expire_and_cannot_be_made_up(hub: FakeHub, repo: Repo) -> None:
    good = place(hub, repo)
    assert refused(good.replace("Signature=", "Signature=0")).code == 403
    assert part(good, "bytes=0-0")[0] == 206
    hub.skew = hub.link_life + 1
    assert refused(good).code == 403


def test_the_token_stays_with_the_hub(repo: Repo) -> None:
    with pytest.raises(AssertionError), FakeHub({"org/plain": repo}) as hub, pytest.raises(OSError):
        urlopen(Request(place(hub, repo), headers={"Authorization": "Bearer reader"}))


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault(after=100, times=1), lambda got: got[2] == WEIGHTS[:100]),
        (Fault(after=100, times=1, kind="truncate"), lambda got: got[2] == WEIGHTS[:100]),
        (Fault(after=100, times=1, kind="corrupt"), lambda got: got[2] == WEIGHTS[:100] + b"\x9b" + WEIGHTS[101:]),
        (Fault(after=100, times=1, kind="wrong_length"), lambda got: got[2] == WEIGHTS[:-100]),
        (Fault(times=1, kind="no_range"), lambda got: got[:2] == (200, None)),
        (Fault(times=1, kind="gzip"), lambda got: got[2][:2] == b"\x1f\x8b"),
    ],
)
def test_faults_of_bodies(
    hub: FakeHub, repo: Repo, fault: Fault, seen: Callable[[tuple[int, str, bytes]], bool]
) -> None:
    import http.client

    url = place(hub, repo)
    hub.fault = fault
    try:
        got = part(url, "bytes=0-")
    except http.client.IncompleteRead as error:
        got = 206, "", error.partial
    assert seen(got)
    assert fault.times == 0
    assert part(url, "bytes=0-") == (206, f"bytes 0-{len(WEIGHTS) - 1}/{len(WEIGHTS)}", WEIGHTS)


def test_faults_instead_of_answers(hub: FakeHub, repo: Repo) -> None:
    url = f"{hub.url}/org/plain/resolve/main/a/b.json"
    hub.fault = Fault(times=1, kind="status", status=429, retry_after=7)
    error = refused(url)
    assert (error.code, error.headers["Retry-After"]) == (429, "7")
    hub.fault = Fault(times=99, kind="loop")
    assert "loop" in str(refused(url)).lower()


def test_hollow_files_are_served_and_hashed(hub: FakeHub, home: Path) -> None:
    import hashlib

    content = Hollow(b"start", 9_000_000, hashed=True)
    hub.repos["org/hollow"] = Repo({"model.safetensors": content})
    found = (fetched(hub, home, "org/hollow") / "model.safetensors").read_bytes()
    assert found == b"start" + bytes(8_999_995)
    assert hub.repos["org/hollow"].about["model.safetensors"]["lfs"]["oid"] == hashlib.sha256(found).hexdigest()
    assert hub.served["model.safetensors"] == 9_000_000
