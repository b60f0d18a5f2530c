from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmserve.endpoint.find import LocalServer, find
from llmserve.errors import NeedsAccessError, NotReadyError, UsageError


@dataclass(frozen=True)
class Running:
    name: str = "tiny"
    url: str = "http://127.0.0.1:30000/v1"
    model: str = "tiny-model"
    state: str = "ready"
    key_file: str | None = None


def nobody() -> Sequence[LocalServer]:
    raise AssertionError("the list of servers was asked for without need")


def key_file(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text("sk-local\n")
    return str(path)


def test_flags_win() -> None:
    environ = {"OPENAI_BASE_URL": "http://env/v1", "OPENAI_API_KEY": "sk-env"}
    endpoint = find("gpu-box:8000", "sk-flag", "m", running=nobody, environ=environ)
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://gpu-box:8000/v1", "sk-flag", "m")
    assert endpoint.key_origin == "--api-key"


def test_environment_wins_over_servers() -> None:
    environ = {"OPENAI_BASE_URL": "http://env:1/v1", "OPENAI_API_KEY": "sk-env"}
    endpoint = find(running=nobody, environ=environ)
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://env:1/v1", "sk-env", None)
    assert endpoint.key_origin == "OPENAI_API_KEY"


def test_empty_variables_are_none() -> None:
    endpoint = find(running=lambda: [Running()], environ={"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""})
    assert endpoint.base_url == "http://127.0.0.1:30000/v1"


def test_the_only_server_needs_no_note(tmp_path: Path) -> None:
    endpoint = find(running=lambda: [Running(key_file=key_file(tmp_path))], environ={})
    assert (endpoint.model, endpoint.api_key, endpoint.notes) == ("tiny-model", "sk-local", ())
    assert "sk-local" not in repr(endpoint)


def test_the_newest_ready_server_is_taken_and_named() -> None:
    servers = [Running("new", state="starting"), Running("mid", url="http://127.0.0.1:2/v1"), Running("old")]
    endpoint = find(running=lambda: servers, environ={})
    assert endpoint.base_url == "http://127.0.0.1:2/v1"
    assert endpoint.notes == (
        "Using the server mid, the newest that is ready. Others: new, old; choose with --server NAME.",
    )


def test_a_server_by_name_wins_over_the_environment() -> None:
    servers = [Running("new"), Running("old", url="http://127.0.0.1:1/v1")]
    endpoint = find(server="old", running=lambda: servers, environ={"OPENAI_BASE_URL": "http://env/v1"})
    assert (endpoint.base_url, endpoint.notes) == ("http://127.0.0.1:1/v1", ())


def test_a_foreign_key_is_not_sent_to_a_local_server(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-of-another-place"}
    assert find(running=lambda: [Running()], environ=environ).api_key is None
    assert find(running=lambda: [Running(key_file=key_file(tmp_path))], environ=environ).api_key == "sk-local"
    assert find(None, "sk-flag", running=lambda: [Running()], environ=environ).api_key == "sk-flag"


def test_the_address_of_our_own_server_brings_its_key_but_not_its_model(tmp_path: Path) -> None:
    servers = [Running(key_file=key_file(tmp_path))]
    endpoint = find("127.0.0.1:30000", running=lambda: servers, environ={})
    assert (endpoint.api_key, endpoint.model) == ("sk-local", None)
    assert find("127.0.0.1:30001", running=lambda: servers, environ={}).api_key is None
    assert find("127.0.0.1:30000", running=nobody, environ={"OPENAI_API_KEY": "sk-env"}).api_key == "sk-env"


def test_nothing_runs() -> None:
    with pytest.raises(UsageError) as caught:
        find(environ={})
    assert caught.value.code == "no_endpoint"
    assert "llmserve up" in (caught.value.hint or "")
    assert "--base-url" in (caught.value.hint or "")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        find(server="x", running=lambda: [Running("a"), Running("b")], environ={})
    assert caught.value.hint == "Running here: a, b."


@pytest.mark.parametrize("name", [None, "tiny"])
def test_a_server_that_is_not_ready(name: str | None) -> None:
    with pytest.raises(NotReadyError, match="tiny is starting"):
        find(server=name, running=lambda: [Running(state="starting")], environ={})


def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NeedsAccessError, match="cannot be read"):
        find(running=lambda: [Running(key_file=str(tmp_path / "none"))], environ={})


def test_two_wishes_at_once() -> None:
    with pytest.raises(UsageError, match="name two endpoints"):
        find("http://h/v1", server="tiny", running=nobody, environ={})


def test_three_wishes_at_once() -> None:
    with pytest.raises(UsageError, match="--base-url and --server and --profile name three endpoints"):
        find("http://h/v1", server="tiny", profile="work", running=nobody, environ={})
