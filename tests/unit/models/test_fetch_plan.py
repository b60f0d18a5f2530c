"""What a fetch would bring and why, found out before its first byte: a fake hub, a real cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from llmserve import paths
from llmserve.errors import LlmserveError, UsageError
from llmserve.models import describe, fetch, resolve
from llmserve.models.hub import rates
from llmserve.models.hub.api import Hub
from llmserve.models.hub.copying import copied
from llmserve.models.hub.plan import SPARE, FetchPlan, Wanted
from llmserve.models.hub.planning import cached_plan, current_plan, fetch_plan, plan_of_model, plan_or_cached
from llmserve.models.hub.selection import UNFILTERED, Filter, kind
from llmserve.models.model import Source
from tests.fakes.hub import FakeHub, Repo
from tests.unit.models.checkpoints import safetensors


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def source(ref: str, revision: str | None = None) -> Source:
    return resolve(ref, revision=revision).sources[0]


def planned(ref: str, wish: Filter = UNFILTERED, to: Path | None = None) -> FetchPlan:
    with closing(Hub()) as hub:
        return fetch_plan(hub, source(ref), wish, to)


def anyhow(ref: str, revision: str | None = None) -> tuple[FetchPlan, LlmserveError | None]:
    """As ``pull`` looks for its plan."""
    if found := current_plan(source(ref, revision)):
        return found, None
    with closing(Hub()) as hub:
        return plan_or_cached(hub, source(ref, revision))


def whys(plan: FetchPlan) -> dict[str, str]:
    return {file.name: file.why for file in plan.files}


def left(plan: FetchPlan) -> dict[str, str]:
    return {file.name: file.why for file in plan.skipped}


def bring(ref: str) -> Path:
    candidate = resolve(ref)
    return fetch(describe(candidate, candidate.formats[0]))


def grown(repo: Repo, files: Mapping[str, bytes]) -> Repo:
    return Repo({**repo.files, **files})


def test_each_file_has_its_reason(hub: FakeHub) -> None:
    plan = planned("org/tiny")
    assert whys(plan) == {
        "model.safetensors": "weights",
        "config.json": "configuration",
        "generation_config.json": "configuration",
        "special_tokens_map.json": "tokenizer",
        "tokenizer.json": "tokenizer",
        "tokenizer_config.json": "tokenizer",
    }
    assert left(plan) == {
        "README.md": "for reading",
        "modeling_tiny.py": "code, taken only with --code",
        "original/consolidated.pth": "a second copy of the model",
    }
    assert plan.total_bytes == plan.missing_bytes == sum(len(hub.repos["org/tiny"].files[file]) for file in whys(plan))
    assert (plan.cached_bytes, plan.revision, plan.commit) == (0, "main", hub.repos["org/tiny"].commit)
    assert not hub.served["model.safetensors"]


def test_hashes_name_the_blobs(hub: FakeHub) -> None:
    files = {file.name: file for file in planned("org/tiny").files}
    weights, config = files["model.safetensors"], files["config.json"]
    about = hub.repos["org/tiny"].about
    assert (weights.etag, weights.sha256, weights.git_sha1) == (about[weights.name]["lfs"]["oid"],) * 2 + (None,)
    assert (config.etag, config.sha256, config.git_sha1) == (about[config.name]["oid"], None, about[config.name]["oid"])


def test_what_other_frameworks_and_formats_need_stays_there(hub: FakeHub, safetensors_repo: Repo) -> None:
    others = {
        "pytorch_model.bin": "pickle, which can run code",
        "consolidated.safetensors": "a second copy of the model",
        "original/params.json": "a second copy of the model",
        "onnx/model.onnx": "another framework",
        "tf_model.h5": "another framework",
        "flax_model.msgpack": "another framework",
        "tiny-Q4_K_M.gguf": "the other format",
        "adapter_model.safetensors": "an adapter, not the model",
        "model.fp16.safetensors": "a second copy of the model",
        "LICENSE": "for reading",
        ".gitattributes": "not needed to serve",
    }
    hub.repos["org/both"] = grown(safetensors_repo, dict.fromkeys(others, b"x"))
    plan = planned("org/both")
    assert set(whys(plan)) == set(whys(planned("org/tiny")))
    assert {name: why for name, why in left(plan).items() if name in others} == others


def test_only_the_shards_that_the_index_names(hub: FakeHub, safetensors_repo: Repo) -> None:
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = json.dumps({"weight_map": {name: name for name in shards}}).encode()
    weights = {name: safetensors({name: ("F16", (8, 8))}) for name in shards}
    hub.repos["org/sharded"] = grown(safetensors_repo, {**weights, "model.safetensors.index.json": index})
    plan = planned("org/sharded")
    assert [file.name for file in plan.files[:2]] == shards
    assert whys(plan)["model.safetensors.index.json"] == "weight index"
    assert left(plan)["model.safetensors"] == "a second copy of the model"
    assert not any(hub.served[name] for name in shards)


def test_one_quantisation_of_several(hub: FakeHub) -> None:
    assert whys(planned("org/tiny-GGUF")) == {"tiny-Q4_K_M.gguf": "weights"}
    plan = planned("org/tiny-GGUF:Q8_0")
    assert whys(plan) == {"tiny-Q8_0.gguf": "weights"}
    assert left(plan) == {
        "tiny-Q4_K_M.gguf": "another quantisation", "mmproj-F16.gguf": "an image projector", "README.md": "for reading",
    }  # fmt: skip
    with pytest.raises(UsageError) as caught:
        planned("org/tiny-GGUF:Q2_K")
    assert "tiny-Q8_0.gguf" in (caught.value.hint or "")


def test_all_parts_of_a_split_file(hub: FakeHub, gguf_repo: Repo) -> None:
    parts = [f"Q6_K/big-Q6_K-0000{number}-of-00002.gguf" for number in (1, 2)]
    hub.repos["org/split-GGUF"] = grown(gguf_repo, dict.fromkeys(parts, b"GGUF"))
    assert list(whys(planned("org/split-GGUF:Q6_K"))) == parts


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (Filter(include=("*.json",)), {"config.json", "generation_config.json", "special_tokens_map.json",
                                       "tokenizer.json", "tokenizer_config.json"}),
        (Filter(include=("original/",)), {"original/consolidated.pth"}),
        (Filter(include=("*.py", "README*")), {"README.md"}),
        (Filter(include=("*.py",), code=True), {"modeling_tiny.py"}),
        (Filter(include=("*.json",), exclude=("tokenizer*", "gen*")), {"config.json", "special_tokens_map.json"}),
        (Filter(exclude=("*.json",)), {"model.safetensors"}),
    ],
)  # fmt: skip
def test_globs(hub: FakeHub, wish: Filter, names: set[str]) -> None:
    plan = planned("org/tiny", wish)
    assert set(whys(plan)) == names
    assert set(whys(plan)) | set(left(plan)) == set(hub.repos["org/tiny"].files)
    assert not set(whys(plan)) & set(left(plan))


def test_code_comes_with_consent_alone(hub: FakeHub) -> None:
    assert whys(planned("org/tiny", Filter(code=True)))["modeling_tiny.py"] == "custom code"


@pytest.mark.parametrize(
    ("wish", "hint"), [(Filter(include=("*.xyz",)), "such as"), (Filter(include=("*.py",)), "--code")]
)
def test_globs_that_leave_nothing_are_refused(hub: FakeHub, wish: Filter, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned("org/tiny", wish)
    assert caught.value.code == "nothing_matches"
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("preprocessor_config.json", "processor"),
        ("video_preprocessor_config.json", "processor"),
        ("processor_config.json", "processor"),
        ("chat_template.jinja", "chat template"),
        ("additional_chat_templates/tools.jinja", "chat template"),
        ("tekken.json", "tokenizer"),
        ("merges.txt", "tokenizer"),
        ("notes.txt", "asked for"),
    ],
)
def test_what_a_file_is(name: str, what: str) -> None:
    assert kind(name) == what


def test_what_is_cached_is_not_fetched_again(hub: FakeHub) -> None:
    folder = bring("org/tiny")
    plan = planned("org/tiny")
    assert (plan.missing_bytes, plan.folder) == (0, folder)
    assert all(file.cached for file in plan.files)


def test_content_that_an_earlier_commit_had_is_here(hub: FakeHub, safetensors_repo: Repo) -> None:
    bring("org/tiny")
    hub.repos["org/tiny"] = grown(safetensors_repo, {"config.json": b"{}"})
    plan = planned("org/tiny")
    assert [file.name for file in plan.files if not file.cached] == ["config.json"]
    assert plan.missing_bytes == 2


def test_a_file_of_another_size_does_not_count(hub: FakeHub) -> None:
    folder = bring("org/tiny")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    plan = planned("org/tiny")
    assert [file.name for file in plan.files if not file.cached] == ["model.safetensors"]
    assert cached_plan(source("org/tiny")) is None


def test_a_complete_cache_needs_no_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    bring("org/tiny")
    asked = planned("org/tiny")
    hub.requests.clear()
    found = cached_plan(source("org/tiny"))
    assert found is not None
    assert (whys(found), left(found), found.folder) == (whys(asked), left(asked), asked.folder)
    assert {file.etag for file in found.files} == {file.etag for file in asked.files}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again, stale = anyhow("org/tiny")
    assert (again.files, again.folder, stale) == (found.files, found.folder, None)
    assert cached_plan(source("org/tiny-GGUF")) is None
    assert hub.requests == []


def test_a_commit_that_is_here_is_not_asked_for(hub: FakeHub) -> None:
    bring("org/tiny")
    hub.requests.clear()
    commit = hub.repos["org/tiny"].commit
    plan, trouble = anyhow("org/tiny", commit)
    assert (plan.missing_bytes, plan.revision, trouble) == (0, commit, None)
    assert hub.requests == []


def test_a_branch_that_has_not_moved_is_asked_for_its_commit_alone(hub: FakeHub, safetensors_repo: Repo) -> None:
    bring("org/tiny")
    hub.requests.clear()
    plan, trouble = anyhow("org/tiny")
    assert (plan.missing_bytes, trouble) == (0, None)
    assert [request.split()[0] for request in hub.requests] == ["HEAD"]
    hub.repos["org/tiny"] = grown(safetensors_repo, {"config.json": b"{}"})
    assert anyhow("org/tiny")[0].commit == hub.repos["org/tiny"].commit


def test_a_hub_out_of_reach_matters_only_if_something_is_lacking(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bring("org/tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    plan, trouble = anyhow("org/tiny")
    assert plan.missing_bytes == 0
    assert trouble is not None
    assert trouble.code == "hub_unreachable"
    (folder / "config.json").unlink()
    with pytest.raises(LlmserveError, match="cannot be reached"):
        anyhow("org/tiny")


def test_the_plan_of_a_described_model_is_of_its_commit(hub: FakeHub, safetensors_repo: Repo) -> None:
    model = describe(resolve("org/tiny"), "safetensors")
    revisions = {"main": "f" * 40, "old": safetensors_repo.commit}
    hub.repos["org/tiny"] = Repo(safetensors_repo.files, revisions=revisions)
    with closing(Hub()) as asked:
        plan = plan_of_model(asked, model)
    assert (plan.commit, plan.revision) == (safetensors_repo.commit, "main")
    assert set(whys(plan)) == {file.name for file in model.files}
    assert plan.total_bytes == model.missing_bytes
    assert left(plan) == left(planned("org/tiny"))


def test_a_plain_folder_takes_from_the_cache_what_is_there(hub: FakeHub, tmp_path: Path) -> None:
    folder = bring("org/tiny")
    (folder / "config.json").unlink()
    to = tmp_path / "usb"
    plan = planned("org/tiny", to=to)
    config = hub.repos["org/tiny"].files["config.json"]
    assert (plan.plain, plan.folder, plan.missing_bytes) == (True, to, 0)  # its content is in a blob
    assert plan.room_bytes == plan.total_bytes
    copied(plan)
    assert (to / "config.json").read_bytes() == config
    assert not (to / "config.json").is_symlink()
    again = planned("org/tiny", to=to)
    assert (again.room_bytes, again.missing_bytes) == (0, 0)


def test_a_damaged_file_is_not_copied_but_fetched(hub: FakeHub, tmp_path: Path) -> None:
    folder = bring("org/tiny")
    for name in ("config.json", "model.safetensors"):
        with (folder / name).open("r+b") as file:
            file.write(b"!")
    reports: list[tuple[str, int]] = []
    plan = planned("org/tiny", to=tmp_path / "usb")
    rest = copied(plan, lambda file, done: reports.append((file.name, done)))
    assert [file.name for file in rest.files if file.missing_bytes] == ["model.safetensors", "config.json"]
    assert sorted(item.name for item in (tmp_path / "usb").iterdir()) == sorted(
        file.name for file in rest.files if file.cached
    )
    assert ("tokenizer.json", len(hub.repos["org/tiny"].files["tokenizer.json"])) in reports


def test_room_is_counted_with_a_spare(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 2_000_000))
    plan = planned("org/tiny")
    assert plan.short_bytes == plan.missing_bytes + SPARE - 2_000_000
    assert replace(plan, free_bytes=None).short_bytes == 0
    assert replace(plan, free_bytes=plan.missing_bytes + SPARE).short_bytes == 0
    there = tuple(replace(file, cached=True) for file in plan.files)
    assert replace(plan, files=there, free_bytes=0).short_bytes == 0


def test_what_is_left_of_a_file() -> None:
    file = Wanted(name="a", size_bytes=10, partial_bytes=4)
    assert file.missing_bytes == 6
    assert replace(file, partial_bytes=12).missing_bytes == 0
    assert replace(file, cached=True).missing_bytes == 0


def test_rates_are_remembered_by_hub(tmp_path: Path) -> None:
    mib = 1024**2
    assert rates.expected("https://hub") is None
    for speed in (100, 10, 20, 30):  # with that of the other user: 10, 20, 30, 40, 100
        rates.note("https://hub", speed * mib, 1.0)
    rates.note("https://me:secret@hub", 40 * mib, 1.0)
    rates.note("https://hub", 1 * mib, 1.0)
    rates.note("https://hub", 900 * mib, 0.1)
    assert rates.expected("https://hub") == 30 * mib
    assert rates.expected("https://other") is None
    assert "secret" not in (paths.state_dir() / "rates.json").read_text()
    for _ in range(20):
        rates.note("https://hub", 50 * mib, 1.0)
    assert rates.expected("https://hub") == 50 * mib


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"https://hub": "fast"}', '{"https://hub": [-1, null, "x", 1e400]}']
)
def test_a_damaged_record_of_rates_is_none(content: str) -> None:
    paths.write_atomic(paths.state_dir() / "rates.json", content)
    assert rates.expected("https://hub") is None
    rates.note("https://hub", 10**8, 1.0)
    assert rates.expected("https://hub") == 10**8
