"""Downloads: real client, fake hub."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from llmserve.errors import DoesNotFitError, LlmserveError
from llmserve.models import describe, fetch, is_cached, resolve
from llmserve.models.hub import rates
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from llmserve.models.hub.planning import plan_of_model
from llmserve.models.hub.progress import Event
from llmserve.models.model import Model
from tests.fakes.hub import FakeHub, Fault


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def read(ref: str) -> Model:
    candidate = resolve(ref)
    return describe(candidate, candidate.formats[0])


def unfinished() -> list[Path]:
    return [path for path in hub_settings.cache_folder().rglob("*") if "incomplete" in path.name]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long waits between retries, and pieces small enough that some of them are lost and others kept."""
    monkeypatch.setenv("LLMSERVE_RETRY_SECONDS", "0.001")
    monkeypatch.setenv("LLMSERVE_CHUNK_BYTES", "65536")


def test_a_folder_is_fetched(hub: FakeHub, tiny_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    model = read("org/tiny")
    path = fetch(model, events.append)
    assert sorted(item.name for item in path.iterdir()) == sorted(file.name for file in model.files)
    assert (path / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()
    assert (events[-1].done_bytes, events[-1].total_bytes) == (model.missing_bytes, model.missing_bytes)
    assert [event.done_bytes for event in events] == sorted(event.done_bytes for event in events)
    assert capfd.readouterr() == ("", "")


def test_a_fresh_process_prints_nothing(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_ENABLE_HF_TRANSFER", "1")  # the client warns about it when it is imported
    code = "from llmserve import models; models.fetch(models.describe(models.resolve('org/tiny'), 'safetensors'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_gguf_file_is_fetched_alone(hub: FakeHub) -> None:
    path = fetch(read("org/tiny-GGUF:Q8_0"))
    assert path.name == "tiny-Q8_0.gguf"
    assert [item.name for item in path.parent.iterdir()] == ["tiny-Q8_0.gguf"]


def test_what_was_fetched_is_served_without_the_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read("org/tiny")
    path = fetch(first)
    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = read("org/tiny")
    assert (model.path, model.missing_bytes, model.revision) == (str(path), 0, first.revision)
    assert model.weight_bytes == first.weight_bytes
    assert {file.name for file in model.files} == {file.name for file in first.files}
    assert fetch(model) == path
    assert is_cached(resolve("org/tiny"))
    assert hub.requests == []


def test_a_cached_gguf_needs_no_hub(hub: FakeHub) -> None:
    path = fetch(read("org/tiny-GGUF"))
    hub.requests.clear()
    assert read("org/tiny-GGUF").path == str(path)
    assert hub.requests == []


def test_a_cached_repository_of_gguf_is_known_without_its_name_saying_so(hub: FakeHub) -> None:
    hub.repos["org/plain"] = hub.repos["org/tiny-GGUF"]
    fetch(read("org/plain:Q4_K_M"))
    assert resolve("org/plain").formats == ("gguf",)


def test_an_incomplete_snapshot_is_completed(hub: FakeHub) -> None:
    first = read("org/tiny")
    path = fetch(first)
    blob = (path / "model.safetensors").resolve()
    (path / "model.safetensors").unlink()
    blob.unlink()
    assert not is_cached(resolve("org/tiny"))
    hub.served.clear()
    model = read("org/tiny")
    assert (model.path, model.missing_bytes) == (None, 986512)
    assert set(hub.served) == {"model.safetensors"}
    assert fetch(model) == path
    assert set(hub.served) == {"model.safetensors"}


def test_a_missing_small_file_is_noticed(hub: FakeHub) -> None:
    path = fetch(read("org/tiny"))
    (path / "generation_config.json").unlink()
    assert not is_cached(resolve("org/tiny"))


def test_a_snapshot_of_an_older_client_counts_as_complete(hub: FakeHub) -> None:
    path = fetch(read("org/tiny"))
    shutil.rmtree(path.parent.parent / "trees")
    assert is_cached(resolve("org/tiny"))
    (path / "tokenizer.json").unlink()
    assert not is_cached(resolve("org/tiny"))


def test_a_short_break_is_mended(hub: FakeHub, hasty: None, tiny_folder: Path) -> None:
    model = read("org/tiny")
    hub.fault = Fault(after=300_000, times=2)
    path = fetch(model)
    assert (path / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()


def test_a_long_break_is_reported_and_loses_nothing(hub: FakeHub, hasty: None, tiny_folder: Path) -> None:
    model = read("org/tiny")
    gone = Fault(kind="status", status=503, times=999, where="cdn/*")
    hub.fault = Fault(after=70_000, times=999)
    hub.at(hub.total + 400_000, lambda: setattr(hub, "fault", gone))
    with pytest.raises(LlmserveError) as caught:
        fetch(model)
    assert caught.value.exit_code == 1
    assert "Run the same command again" in (caught.value.hint or "")
    assert not is_cached(resolve("org/tiny"))
    with closing(Hub()) as asked:
        weights = next(file for file in plan_of_model(asked, model).files if file.name == "model.safetensors")
    assert 0 < weights.partial_bytes < weights.size_bytes
    hub.fault = Fault()
    path = fetch(read("org/tiny"))
    assert (path / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()
    assert unfinished() == []


def test_an_interruption_ends_the_transfer(hub: FakeHub, hasty: None) -> None:
    model = read("org/tiny")
    hub.fault = Fault(pause=0.2)

    def interrupt(_: Event) -> None:
        if unfinished():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(model, interrupt)
    time.sleep(0.5)
    served = hub.total
    time.sleep(0.5)
    assert hub.total == served
    hub.fault = Fault()
    assert fetch(read("org/tiny")).is_dir()


def test_a_gone_hub_is_reported(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read("org/tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LlmserveError) as caught:
        fetch(model)
    assert caught.value.code == "hub_unreachable"


def test_disk_space_is_asked_before_the_first_byte(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read("org/tiny")
    hub.served.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 2_000_000))
    with pytest.raises(DoesNotFitError) as caught:
        fetch(model)
    error = caught.value
    assert (error.exit_code, error.code) == (3, "disk_full")
    assert error.data["missing_bytes"] == model.missing_bytes + 64 * 1024**2 - 2_000_000
    assert "are missing" in error.message
    assert "HF_HUB_CACHE" in (error.hint or "")
    assert not hub.served


def test_a_fetch_is_remembered_by_its_rate(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_LEAST_BYTES", 1000)
    monkeypatch.setattr(rates, "_LEAST_SECONDS", 0)
    model = read("org/tiny")
    fetch(model)
    assert (rates.expected(hub.url) or 0) > 1000


def test_the_built_in_model_is_built(home: Path) -> None:
    path = fetch(describe(resolve("tiny"), "gguf"))
    assert path.is_file()
    assert str(path) == describe(resolve("tiny"), "gguf").path
