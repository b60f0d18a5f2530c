"""Endpoints with a name: the user's file, the project's, keys from elsewhere, and every way to write one wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmserve import paths, settings
from llmserve.endpoint.endpoint import Price
from llmserve.endpoint.find import find
from llmserve.endpoint.profiles import load
from llmserve.errors import NeedsAccessError, UsageError


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(text: str) -> None:
    paths.write_atomic(paths.config_file(), text)


def test_a_whole_profile() -> None:
    config("""
        [profiles.work]
        base_url = "https://llm.example.com/team/"
        api_key_env = "WORK_KEY"
        model = "qwen"
        headers = { "X-Team" = "search", "X-Tenant" = "${TENANT}" }
        read-timeout = 30
        price_prompt = 0.5
        price_answer = 2
    """)
    endpoint = load("work", {"WORK_KEY": "sk-w", "TENANT": "t1"})
    assert (endpoint.base_url, endpoint.model, endpoint.api_key) == ("https://llm.example.com/team", "qwen", "sk-w")
    assert endpoint.headers == (("X-Team", "search"), ("X-Tenant", "t1"))
    assert (endpoint.key_origin, endpoint.read_timeout, endpoint.notes) == ("WORK_KEY", 30.0, ())
    assert endpoint.price == Price(prompt=0.5, answer=2.0)
    assert endpoint.price.of(1_000_000, 500_000) == 1.5


def test_settings_of_commands_stand_beside_profiles() -> None:
    config('[chat]\nprofile = "a"\n[profiles.a]\nbase_url = "h:1"\n')
    assert settings.defaults(["chat"]) == {"chat": {"profile": "a"}}


def test_keys_from_a_file_and_in_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-f\n")
    config(f'[profiles.f]\nbase_url = "h:1"\napi_key_file = "{tmp_path}/key"\n'
           '[profiles.p]\nbase_url = "h:1"\napi_key = "${K}"\n')  # fmt: skip
    assert load("f", {}).api_key == "sk-f"
    assert load("p", {"K": "sk-p"}).api_key == "sk-p"


def test_a_profile_of_the_project_replaces_the_users_whole_and_is_said() -> None:
    config('[profiles.a]\nbase_url = "mine:1"\napi_key = "sk-mine"\n')
    Path("llmserve.toml").write_text('[profiles.a]\nbase_url = "theirs:2"\n')
    endpoint = load("a", {})
    assert (endpoint.base_url, endpoint.api_key) == ("http://theirs:2/v1", None)
    assert endpoint.notes == ("Using the profile a of llmserve.toml: http://theirs:2/v1",)


def test_flags_win_over_the_profile_and_add_to_its_headers() -> None:
    config('[profiles.a]\nbase_url = "h:1"\napi_key = "sk-a"\nmodel = "m"\nheaders = { A = "1" }\n')
    environ = {"OPENAI_BASE_URL": "http://env/v1", "OPENAI_API_KEY": "sk-env"}
    endpoint = find(None, "sk-flag", "n", profile="a", headers=["B: 2"], environ=environ)
    assert (endpoint.base_url, endpoint.api_key, endpoint.model) == ("http://h:1/v1", "sk-flag", "n")
    assert endpoint.headers == (("A", "1"), ("B", "2"))
    assert find(profile="a", environ=environ).api_key == "sk-a", "the key of the environment is for another place"


@pytest.mark.parametrize(
    ("table", "says", "hint"),
    [
        ("", "base_url is missing", "base_url ="),
        ("base_url = 3", "base_url is no text", ""),
        ('base_ulr = "h"', "'base_ulr' is unknown", "'base_url'"),
        ('base_url = "h:1"\nheaders = 3', "headers is no table", ""),
        ('base_url = "h:1"\nheaders = { A = 3 }', "headers are texts", ""),
        ('base_url = "h:1"\nread_timeout = 0', "read_timeout is no number above zero", ""),
        ('base_url = "h:1"\nread_timeout = "x"', "read_timeout is no number above zero", ""),
        ('base_url = "h:1"\nprice_prompt = -1', "price_prompt is no number", ""),
        ('base_url = "h:1"\napi_key_env = "NOPE"', "needs the variable NOPE", "export NOPE"),
        ('base_url = "ftp://h"', "not the address of an API", ""),
    ],
)
def test_wrong_tables(table: str, says: str, hint: str) -> None:
    config(f"[profiles.a]\n{table}\n")
    with pytest.raises(UsageError) as caught:
        load("a", {})
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")


def test_unknown_names() -> None:
    with pytest.raises(UsageError) as caught:
        load("work", {})
    assert "[profiles.work]" in (caught.value.hint or "")
    config('[profiles.work]\nbase_url = "h:1"\n')
    for name, hint in (("wrok", "'work'"), ("zzz", "Known: work.")):
        with pytest.raises(UsageError) as caught:
            load(name, {})
        assert hint in (caught.value.hint or "")


def test_profiles_are_tables() -> None:
    config('[profiles]\nbase_url = "h:1"\n')
    with pytest.raises(UsageError, match="profiles are tables"):
        load("a", {})


def test_a_key_file_that_cannot_be_read() -> None:
    config('[profiles.a]\nbase_url = "h:1"\napi_key_file = "/nowhere/key"\n')
    with pytest.raises(NeedsAccessError, match="No such file"):
        load("a", {})
