"""What is learnt from a hub before anything is fetched: real client, fake hub."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError, NeedsAccessError, UsageError
from llmserve.models import describe, is_cached, reachable, resolve
from llmserve.models.hub import api as hub_api
from llmserve.models.model import Model
from tests.fakes.hub import FakeHub, Fault, Repo
from tests.unit.models.checkpoints import gguf, llama_gguf, safetensors


def read(ref: str, revision: str | None = None) -> Model:
    candidate = resolve(ref, revision=revision)
    return describe(candidate, candidate.formats[0])


def failure(ref: str, revision: str | None = None) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        read(ref, revision)
    assert caught.value.hint
    return caught.value


def test_safetensors_are_described_from_headers(hub: FakeHub, tiny_folder: Path) -> None:
    model = read("org/tiny")
    here = describe(resolve(str(tiny_folder)), "safetensors")
    assert (model.weight_bytes, model.layers, model.chat_template) == (here.weight_bytes, 2, True)
    assert model.revision == hub.repos["org/tiny"].commit
    assert model.path is None
    assert set(hub.served) == {"config.json", "tokenizer_config.json", "model.safetensors"}
    assert hub.served["model.safetensors"] == 65536


def test_only_what_serving_needs_is_listed(hub: FakeHub) -> None:
    model = read("org/tiny")
    names = {file.name for file in model.files}
    assert names == {
        "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert model.missing_bytes == sum(file.size_bytes for file in model.files)


def test_gguf_is_described_from_its_header(hub: FakeHub) -> None:
    model = read("org/tiny-GGUF")
    assert (model.source.file, model.architecture) == ("tiny-Q4_K_M.gguf", "llama")
    assert [file.name for file in model.files] == ["tiny-Q4_K_M.gguf"]
    assert dict(hub.served) == {"tiny-Q4_K_M.gguf": 65536}


def test_a_quantisation_is_chosen_by_name(hub: FakeHub) -> None:
    assert read("org/tiny-GGUF:q8_0").source.file == "tiny-Q8_0.gguf"


def test_shards_are_read_together(hub: FakeHub, safetensors_repo: Repo) -> None:
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = json.dumps({"weight_map": {name: name for name in names}})
    files = dict(safetensors_repo.files) | {name: safetensors({name: ("F16", (8, 8))}) for name in names}
    hub.repos["org/sharded"] = Repo(files | {"model.safetensors.index.json": index.encode()})
    model = read("org/sharded")
    assert model.weight_bytes == 3 * 128
    assert {"model.safetensors.index.json", *names} < {file.name for file in model.files}
    assert "model.safetensors" not in {file.name for file in model.files}


def sharded(repo: Repo, count: int, tensors: int = 1) -> Repo:
    """A repository with so many files of so many tensors each."""
    names = [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(count)]
    table = {name: [f"{name}.{number}" for number in range(tensors)] for name in names}
    index = {"weight_map": {tensor: name for name in names for tensor in table[name]}}
    shards = {name: safetensors(dict.fromkeys(table[name], ("F16", (8, 8)))) for name in names}
    files = {name: content for name, content in repo.files.items() if name != "model.safetensors"}
    return Repo(files | shards | {"model.safetensors.index.json": json.dumps(index).encode()})


def test_many_shards_wait_together(hub: FakeHub, safetensors_repo: Repo) -> None:
    hub.repos["org/sharded"] = sharded(safetensors_repo, 40)
    hub.latency = 0.1
    began = time.monotonic()
    assert read("org/sharded").weight_bytes == 40 * 128
    assert time.monotonic() - began < 3  # one by one: 8.4 s
    assert len(hub.requests) == 1 + 3 + 2 * 40


def test_connections_are_used_again(hub: FakeHub, safetensors_repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_api, "AT_ONCE", 4)
    hub.repos["org/sharded"] = sharded(safetensors_repo, 40)
    read("org/sharded")
    assert hub.opened <= 2 * 4


def test_a_long_header_is_redirected_once(hub: FakeHub, safetensors_repo: Repo) -> None:
    names = {f"model.layers.{number % 2}.{number}.weight": ("F16", (8, 8)) for number in range(1000)}
    files = dict(safetensors_repo.files) | {"model.safetensors": safetensors(names)}
    hub.repos["org/long"] = Repo(files)
    assert read("org/long").weight_bytes == 1000 * 128
    resolved = [request for request in hub.requests if request.endswith("model.safetensors")]
    assert [request.split("/")[1] for request in resolved] == ["org", "cdn", "cdn"]
    assert hub.served["model.safetensors"] == 8 + int.from_bytes(files["model.safetensors"][:8], "little")


def test_an_address_that_has_expired_is_asked_for_again(
    hub: FakeHub, safetensors_repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"model.layers.{number % 2}.{number}.weight": ("F16", (8, 8)) for number in range(1000)}
    hub.repos["org/long"] = Repo(dict(safetensors_repo.files) | {"model.safetensors": safetensors(names)})
    honest = hub_api.Hub._read

    def expiring(self: hub_api.Hub, url: str, offset: int, length: int) -> tuple[bytes, str]:
        content, place = honest(self, url, offset, length)
        return content, place.replace("/cdn/", "/cdn/expired-")

    monkeypatch.setattr(hub_api.Hub, "_read", expiring)
    assert read("org/long").weight_bytes == 1000 * 128
    assert any("expired" in request for request in hub.requests)


def test_the_first_read_is_as_long_as_the_index_makes_expect(hub: FakeHub, safetensors_repo: Repo) -> None:
    hub.repos["org/sharded"] = sharded(safetensors_repo, 3, tensors=800)
    read("org/sharded")
    large = [request for request in hub.requests if "/cdn/" in request]
    assert len(large) == 3
    header = int.from_bytes(hub.repos["org/sharded"].files["model-00000-of-00003.safetensors"][:8], "little")
    assert header > 65536


def test_contradicting_shards_are_broken(hub: FakeHub, safetensors_repo: Repo) -> None:
    repo = sharded(safetensors_repo, 3)
    name = "model-00001-of-00003.safetensors"
    hub.repos["org/wrong"] = Repo(dict(repo.files) | {name: safetensors({"other": ("F16", (8, 8))})})
    error = failure("org/wrong")
    assert error.code == "broken_checkpoint"
    assert error.message == (
        f"org/wrong contradicts itself: the index puts '{name}.0' into {name}, but no file has it."
    )


def test_an_index_that_names_a_missing_file(hub: FakeHub, safetensors_repo: Repo) -> None:
    files = dict(sharded(safetensors_repo, 3).files)
    del files["model-00001-of-00003.safetensors"]
    hub.repos["org/cut"] = Repo(files)
    error = failure("org/cut")
    assert error.code == "broken_checkpoint"
    assert "lacks model-00001-of-00003.safetensors, which model.safetensors.index.json names" in error.message


def test_shards_with_names_of_their_own_are_found_by_the_index(hub: FakeHub, safetensors_repo: Repo) -> None:
    files = dict(safetensors_repo.files) | {"weights/part.safetensors": safetensors({"w": ("F16", (8, 8))})}
    index = json.dumps({"weight_map": {"w": "weights/part.safetensors"}}).encode()
    hub.repos["org/own"] = Repo(files | {"model.safetensors.index.json": index})
    assert read("org/own").weight_bytes == 128


def test_split_gguf_files_add_up(hub: FakeHub) -> None:
    parts = {
        "Q4_0/x-Q4_0-00001-of-00002.gguf": gguf(llama_gguf(), {"a": (0, (8,))}),
        "Q4_0/x-Q4_0-00002-of-00002.gguf": gguf({}, {"b": (0, (8,))}),
    }
    hub.repos["org/split-GGUF"] = Repo(parts | {"x-Q8_0.gguf": b""})
    model = read("org/split-GGUF")
    assert model.weight_bytes == 64
    assert [file.name for file in model.files] == list(parts)


def test_a_truncated_upload_is_broken(hub: FakeHub) -> None:
    files = dict(hub.repos["org/tiny"].files)
    hub.repos["org/cut"] = Repo(files | {"model.safetensors": files["model.safetensors"][:-9]})
    error = failure("org/cut")
    assert (error.code, error.data["missing_bytes"]) == ("broken_checkpoint", 9)
    assert "org/cut/model.safetensors" in error.message


def test_pickle_weights_are_refused(hub: FakeHub) -> None:
    hub.repos["org/old"] = Repo({"config.json": b"{}", "pytorch_model.bin": b"x", "tokenizer.json": b"{}"})
    error = failure("org/old")
    assert isinstance(error, UsageError)
    assert "only pickle weights" in error.message


def test_gguf_without_the_name_is_pointed_at(hub: FakeHub, gguf_repo: Repo) -> None:
    hub.repos["org/plain"] = gguf_repo
    error = failure("org/plain")
    assert "org/plain:tiny-Q4_K_M.gguf" in (error.hint or "")


def test_branches_and_commits(hub: FakeHub) -> None:
    repo = hub.repos["org/tiny"]
    repo.revisions["v1"] = "1" * 40
    assert read("org/tiny", "v1").revision == "1" * 40
    assert read("org/tiny", repo.commit).revision == repo.commit


def test_an_unknown_revision(hub: FakeHub) -> None:
    error = failure("org/tiny", "nope")
    assert (type(error), error.code) == (UsageError, "unknown_revision")
    assert "'nope'" in error.message


def test_a_gated_model_without_token(hub: FakeHub) -> None:
    error = failure("org/gated")
    assert isinstance(error, NeedsAccessError)
    assert "no access token is set" in error.message
    assert f"{hub.url}/org/gated" in (error.hint or "")
    assert "hf auth login" in (error.hint or "")
    assert error.data["token"] is False


def test_a_gated_model_with_the_wrong_account(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "stranger")
    error = failure("org/gated")
    assert isinstance(error, NeedsAccessError)
    assert "has not been given access" in error.message
    assert f"{hub.url}/org/gated" in (error.hint or "")
    assert "stranger" not in str(error.as_dict())


def test_a_gated_model_with_access(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "reader")
    assert read("org/gated").layers == 2


def test_a_token_that_nobody_knows(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "forged")
    error = failure("org/tiny")
    assert (type(error), error.code) == (NeedsAccessError, "token_rejected")
    assert "forged" not in str(error.as_dict())


@pytest.mark.parametrize("token", [None, "reader"])
def test_an_unknown_repository(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = failure("org/qwen3-9b")
    assert (type(error), error.code) == (UsageError, "unknown_model")
    assert ("private" in error.message) is (token is None)
    assert "qwen3-8b" in (error.hint or "")


def test_a_hub_that_is_down(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = failure("org/tiny")
    assert (error.exit_code, error.code) == (1, "hub_unreachable")
    assert "http://127.0.0.1:9" in error.message
    assert "llmserve up tiny" in (error.hint or "")
    assert "HF_ENDPOINT" in (error.hint or "")


def test_a_hub_that_breaks_off(hub: FakeHub) -> None:
    hub.fault = Fault(after=10, times=99)
    assert failure("org/tiny").code == "hub_interrupted"


def test_one_broken_connection_is_mended(hub: FakeHub) -> None:
    hub.fault = Fault(after=10, times=1)
    assert read("org/tiny").layers == 2
    assert hub.fault.times == 0


def test_offline_nothing_is_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = failure("org/tiny")
    assert error.code == "hub_offline"
    assert "org/tiny" in error.message
    assert hub.requests == []


def test_reachable(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reachable()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not reachable()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not reachable()


def test_a_hub_that_does_not_answer_is_given_up_in_time(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert not reachable(0.2)
        assert time.monotonic() - started < 2


def test_nothing_is_cached_by_looking(hub: FakeHub) -> None:
    read("org/tiny")
    assert not is_cached(resolve("org/tiny"))
    assert is_cached(resolve("tiny"))
