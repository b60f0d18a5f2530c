"""Who may read what: every refusal of a hub is told apart from the others, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from llmserve.errors import LlmserveError, NeedsAccessError, UsageError
from llmserve.models import describe, names, resolve
from llmserve.models.hub import access, login
from llmserve.models.hub.api import Hub
from llmserve.models.kinship import relative
from llmserve.models.recipes import catalogue
from tests.fakes.hub import FakeHub, Repo
from tests.fakes.scripted import Answer, Request, about, scripted

SECRET = "hf_canary0123456789"
LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"


@pytest.fixture(autouse=True)
def nothing_typed() -> Iterator[None]:
    yield
    login.use(None)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "reader")


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "stranger")


def refused(ref: str, endpoint: str | None = None) -> LlmserveError:
    candidate = resolve(ref)
    with closing(Hub(endpoint)) as hub, pytest.raises(LlmserveError) as caught:
        describe(candidate, candidate.formats[0], hub=hub)
    error = caught.value
    assert error.message.endswith(".")
    assert error.hint
    return error


def answered(answer: Answer, repo: str = "org/x") -> LlmserveError:
    """What is said when a hub gives this answer to every question."""
    with (
        scripted(lambda _: answer) as server, closing(Hub(server.url)) as hub,
        pytest.raises(LlmserveError) as caught,
    ):  # fmt: skip
        hub.listing(repo)
    caught.value.message = caught.value.message.replace(server.url, "HUB")
    caught.value.hint = (caught.value.hint or "").replace(server.url, "HUB")
    return caught.value


def says(status: int, code: str, message: str) -> Answer:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer({"error": message}, status, headers)


# --- gated ---------------------------------------------------------------------------------------------------


def test_gated_and_no_token(hub: FakeHub) -> None:
    error = refused("org/gated")
    assert (type(error), error.code, error.exit_code) == (NeedsAccessError, "gated", 4)
    assert error.message == "org/gated is gated: its licence has to be accepted, and no access token is set (401)."
    assert error.hint == (
        f"Accept the licence at {hub.url}/org/gated, then run `hf auth login`, or set HF_TOKEN to a token from "
        f"{hub.url}/settings/tokens."
    )
    assert error.data == {"repo": "org/gated", "page": f"{hub.url}/org/gated", "token": False, "reason": "no_token"}


def test_access_is_found_out_before_anything_is_fetched(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Hub()) as asked:
        listing = asked.listing("org/gated")
        with pytest.raises(NeedsAccessError, match="no access token is set"):
            asked.check_access(listing)
        assert len(hub.requests) == 2
        asked.check_access(asked.listing("org/tiny"))
        assert len(hub.requests) == 3
    monkeypatch.setenv("HF_TOKEN", "reader")
    with closing(Hub()) as asked:
        asked.check_access(listing)
    assert sum(hub.served.values()) == 1


def test_gated_and_the_licence_was_not_accepted(hub: FakeHub, stranger: None) -> None:
    error = refused("org/gated")
    assert error.message == (
        "org/gated is gated, and the account of the access token in HF_TOKEN has not been given access to it (403)."
    )
    assert error.hint == f"Accept its licence at {hub.url}/org/gated with that account, then try again."
    assert error.data["reason"] == "not_accepted"


SCOPE = "Please enable access to public gated repositories in your fine-grained token settings to view this repository."


@pytest.mark.parametrize(
    ("code", "message", "reason", "part"),
    [
        ("GatedRepo", "Your request to access model x is awaiting a review from the repo authors.", "pending", "waits"),
        ("GatedRepo", "Your request to access model x has been rejected by the repo's authors.", "refused", "refused"),
        ("GatedRepo", "Access is restricted and you are not in the authorized list.", "not_accepted", "licence"),
        ("GatedRepo", SCOPE, "token_scope", "may not read"),
        ("", SCOPE, "token_scope", "HUB/settings/tokens"),
    ],
)
def test_gated_for_different_reasons(reader: None, code: str, message: str, reason: str, part: str) -> None:
    error = answered(says(403, code, message))
    assert (type(error), error.code, error.data["reason"]) == (NeedsAccessError, "gated", reason)
    assert part in f"{error.message} {error.hint}"
    assert "HUB/" in (error.hint or "")


@pytest.mark.parametrize("token", [None, "reader"])
def test_a_copy_that_needs_no_token_is_offered_and_not_taken(
    monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = answered(says(403 if token else 401, "GatedRepo", "Access is restricted."), LLAMA)
    assert error.data["ungated"] == "unsloth/llama-3-8b-Instruct"
    assert "unsloth/llama-3-8b-Instruct is a copy under the same licence that needs no token" in (error.hint or "")


def test_the_copy_is_a_model_of_its_own() -> None:
    """Its name stands for itself: nobody who asks for one gets the other."""
    for recipe in catalogue():
        if recipe.ungated is None:
            continue
        assert recipe.gated
        assert resolve(recipe.ungated).sources[0].repo == recipe.ungated
        assert names.find(recipe.ungated) is None
        assert recipe.ungated not in (*recipe.repos, *(variant.repo for variant in recipe.variants))
        assert relative("", "", [recipe.ungated], "x") == recipe
        assert access.ungated(recipe.repos[0]) == recipe.ungated
    assert access.ungated("org/x") is None
    assert relative("", "", [""], "x") is None


# --- private, or not there -----------------------------------------------------------------------------------


def test_anonymous_users_cannot_tell_private_from_missing(hub: FakeHub) -> None:
    hub.repos["org/secret"] = Repo({"config.json": b"{}"}, private=True, readers={"reader"})
    secret, missing = refused("org/secret"), refused("org/absent")
    assert secret.message.replace("secret", "absent") == missing.message
    assert secret.message == f"{hub.url} has no model 'org/secret', or it is private and no access token is set."
    assert "If it is private, run `hf auth login` or set HF_TOKEN." in (secret.hint or "")
    assert (type(secret), secret.code, secret.data["token"]) == (UsageError, "unknown_model", False)


def test_a_token_without_access_to_a_private_model(hub: FakeHub, stranger: None) -> None:
    hub.repos["org/secret"] = Repo({"config.json": b"{}"}, private=True, readers={"reader"})
    error = refused("org/secret")
    assert error.message == f"{hub.url} has no model 'org/secret'."
    assert "If org keeps it private, the access token in HF_TOKEN needs the right to read it" in (error.hint or "")


def test_a_token_with_access_to_a_private_model(hub: FakeHub, reader: None) -> None:
    files = hub.repos["org/tiny"].files
    hub.repos["org/secret"] = Repo(files, private=True, readers={"reader"})
    assert describe(resolve("org/secret"), "safetensors").layers == 2


def test_a_wrong_name_has_near_ones(hub: FakeHub) -> None:
    error = refused("Qwen/Qwen3-8Bb")
    assert "qwen3-8b" in error.data["nearest"]
    assert "Did you mean qwen3-8b" in (error.hint or "")


def test_a_hub_that_hides_a_gated_model_whole() -> None:
    error = answered(says(401, "RepoNotFound", "Repository not found"), LLAMA)
    assert (type(error), error.code) == (NeedsAccessError, "gated")
    assert "HUB/meta-llama/Meta-Llama-3-8B-Instruct" in (error.hint or "")
    assert error.data["ungated"]


def test_a_mirror_that_lacks_a_known_model(reader: None) -> None:
    error = answered(says(404, "RepoNotFound", "Repository not found"), "Qwen/Qwen3-8B")
    assert error.code == "unknown_model"
    assert error.hint == "https://huggingface.co has it: unset HF_ENDPOINT, or have it taken into that mirror."


# --- other refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "code", "part"),
    [
        (says(404, "RevisionNotFound", "Invalid rev id"), UsageError, "unknown_revision", "has no revision"),
        (says(404, "EntryNotFound", "Entry not found"), LlmserveError, "hub_error", "lists a file"),
        (says(403, "", "Access to this resource is disabled."), LlmserveError, "disabled", "for everybody"),
        (says(403, "", "Not in your region."), NeedsAccessError, "forbidden", "Not in your region."),
        (says(404, "", "nothing"), LlmserveError, "hub_error", "HF_ENDPOINT"),
        (says(400, "", "nothing"), LlmserveError, "hub_error", "400"),
        (says(451, "", "nothing"), LlmserveError, "hub_error", "451"),
        (says(511, "", "nothing"), LlmserveError, "hub_unreachable", "login"),
    ],
)
def test_refusals(answer: Answer, kind: type[LlmserveError], code: str, part: str) -> None:
    error = answered(answer)
    assert (type(error), error.code) == (kind, code)
    assert part in f"{error.message} {error.hint}"


# --- tokens --------------------------------------------------------------------------------------------------


def test_a_token_that_is_not_valid_does_not_hide_a_public_model(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    error = refused("org/tiny")
    assert (type(error), error.code) == (NeedsAccessError, "token_rejected")
    assert error.message == (
        f"The access token in HF_TOKEN is not valid at {hub.url}, and org/tiny, which is public, needs none."
    )
    assert error.hint == (
        f"Unset HF_TOKEN (public models need no token), or set it to a token from {hub.url}/settings/tokens."
    )
    assert error.data == {"repo": "org/tiny", "token": True, "source": "HF_TOKEN", "public": True}


def test_a_token_that_is_not_valid_and_a_model_that_is_not_public(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert refused("org/absent").message == f"The access token in HF_TOKEN is not valid at {hub.url}."


def test_a_token_that_has_expired(reader: None) -> None:
    error = answered(says(401, "", 'User Access Token "laptop" is expired'))
    assert error.message == "The access token in HF_TOKEN has expired at HUB."


def test_a_gated_file_refuses_a_bad_token_by_the_name_of_the_token(reader: None) -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/api/"):
            return Answer(about())
        return says(401, "GatedRepo", "Invalid credentials in Authorization header")

    with scripted(script) as server, closing(Hub(server.url)) as hub:
        listing = hub.listing("org/x")
        with pytest.raises(NeedsAccessError) as caught:
            hub.read(listing, hub.url(listing, "config.json"), 0, 2)
    assert caught.value.code == "token_rejected"


@pytest.mark.parametrize(
    ("code", "data", "helped"),
    [
        ("gated", {"token": False}, True),
        ("gated", {"token": True}, False),
        ("unknown_model", {"token": False}, True),
        ("unknown_model", {"token": True}, False),
        ("unknown_model", {}, False),
        ("token_rejected", {"token": True}, True),
        ("hub_unreachable", {}, False),
    ],
)
def test_when_a_token_would_help(code: str, data: dict[str, Any], helped: bool) -> None:
    assert access.helped_by_a_token(LlmserveError("x", code=code, data=data)) is helped
