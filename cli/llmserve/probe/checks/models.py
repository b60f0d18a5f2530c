"""The list of models, and single models."""

from __future__ import annotations

import time
from urllib.parse import quote

from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    in_area,
    inconclusive,
    not_applicable,
    ok,
    verdict,
)
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, kind, short
from llmserve.probe.needs import need

check = in_area("models", needs=("models",))

DAY_S = 86_400
NOBODY = "no-such-model-llmserve-probe"


@need("models", requests=1)
def listed(ctx: Context) -> Finding | None:
    """There is a list of models with something in it."""
    answer = ctx.get("/models")
    if answer.is_ok and as_list(dig(answer.data, "data")):
        return None
    return inconclusive(f"there is no list of models to look at: {answer.brief()} (see models.list)")


@check(
    "models.list", "Models can be listed", BREAKS, needs=(), quick=True,
    expects='200 with {"object": "list", "data": [...]}, one model at least', source="spec ListModelsResponse",
)  # fmt: skip
def lists(ctx: Context) -> Finding:
    answer = ctx.get("/models")
    data = answer.accepted(refusal="fail")
    found = data.get("data")
    if not isinstance(found, list):
        return fail(f"data is {kind(dig(data, 'data'))}")
    return verdict(bool(found), saw=f"{len(found)} models")


@check(
    "models.list.object", "The list says that it is one", COSMETIC,
    expects='object is "list"', source="spec ListModelsResponse, required",
)  # fmt: skip
def list_object(ctx: Context) -> Finding:
    found = dig(ctx.get("/models").data, "object")
    return verdict(found == "list", saw=f"object is {short(repr(found), 40)}")


@check(
    "models.item.id", "Every model has an id", BREAKS, quick=True,
    expects="each id is a string that is not empty", source="spec Model, required",
)  # fmt: skip
def item_id(ctx: Context) -> Finding:
    wrong = [item for item in _items(ctx) if not isinstance(item.get("id"), str) or not item["id"]]
    return verdict(not wrong, saw=f"{len(wrong)} of {len(_items(ctx))} models have no id" if wrong else "all have one")


def _typed(name: str, of: str) -> str:
    return f"{name} is {of}"


@check(
    "models.item.object", "Every model says that it is one", COSMETIC,
    expects='each object is "model"', source="spec Model, required",
)  # fmt: skip
def item_object(ctx: Context) -> Finding:
    wrong = [repr(dig(item, "object")) for item in _items(ctx) if item.get("object") != "model"]
    return verdict(not wrong, saw=_typed("object", short(wrong[0], 40)) if wrong else "all do")


@check(
    "models.item.created", "Every model says since when", COSMETIC,
    expects="each created is a whole number of seconds, not in the future",
    source="spec Model, required; LM Studio leaves it out (webai-at-home#208)",
)  # fmt: skip
def item_created(ctx: Context) -> Finding:
    soon = time.time() + DAY_S
    wrong = [short(repr(dig(item, "created")), 40) for item in _items(ctx) if not _is_time(item.get("created"), soon)]
    return verdict(not wrong, saw=_typed("created", wrong[0]) if wrong else "all do")


@check(
    "models.item.owned_by", "Every model says whose it is", COSMETIC,
    expects="each owned_by is a string", source="spec Model, required",
)  # fmt: skip
def item_owner(ctx: Context) -> Finding:
    wrong = [kind(dig(item, "owned_by")) for item in _items(ctx) if not isinstance(item.get("owned_by"), str)]
    return verdict(not wrong, saw=_typed("owned_by", wrong[0]) if wrong else "all do")


@check(
    "models.unique", "No model is listed twice", FEATURE,
    expects="ids are unique", source="spec: the model identifier",
)  # fmt: skip
def unique(ctx: Context) -> Finding:
    ids = [str(item.get("id")) for item in _items(ctx)]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    return verdict(not twice, saw=f"twice: {short(', '.join(twice))}" if twice else f"{len(ids)} different")


@check(
    "models.pagination", "The list is whole", BREAKS,
    expects="has_more is absent or false: SDKs read one page", source="openai-python SyncPage",
)  # fmt: skip
def pagination(ctx: Context) -> Finding:
    found = dig(ctx.get("/models").data, "has_more")
    return verdict(not found, saw=f"has_more is {found!r}")


@check(
    "models.stable", "The list is the same when asked again", COSMETIC, requests=1,
    expects="the same ids, in the same order", source="clients take the first model",
)  # fmt: skip
def stable(ctx: Context) -> Finding:
    first = [item.get("id") for item in _items(ctx)]
    second = [as_dict(item).get("id") for item in as_list(dig(ctx.get("/models", again=1).data, "data"))]
    return verdict(first == second, saw=f"{len(first)} models, then {len(second)}" if first != second else "the same")


@check(
    "models.retrieve", "A model can be retrieved", FEATURE, needs=("models", "model"), requests=1, quick=True,
    expects="200 from /models/{id} with that id", source="spec retrieveModel; vLLM 0.32 answers 404 (measured)",
)  # fmt: skip
def retrieve(ctx: Context) -> Finding:
    answer = ctx.get(f"/models/{_listed_id(ctx)}")
    data = answer.accepted(refusal="fail")
    return verdict(data.get("id") == _listed_id(ctx), saw=f"id is {short(repr(dig(data, 'id')), 60)}")


@check(
    "models.retrieve.encoded", "A model is found by its percent-encoded id", FEATURE,
    needs=("models", "model"), requests=1,
    expects="200 from /models/{id} with every reserved character of the id encoded",
    source="openai-node encodes path parameters",
)  # fmt: skip
def retrieve_encoded(ctx: Context) -> Finding:
    name = _listed_id(ctx)
    if quote(name, safe="") == name:
        return not_applicable("the id has no character that is encoded")
    if not ctx.get(f"/models/{name}").is_ok and not ctx.get(f"/models/{quote(name, safe='')}").is_ok:
        return inconclusive("models cannot be retrieved at all (see models.retrieve)")
    return verdict(
        ctx.get(f"/models/{quote(name, safe='')}").is_ok, saw=ctx.get(f"/models/{quote(name, safe='')}").brief()
    )


@check(
    "models.retrieve.same", "A retrieved model is the one of the list", COSMETIC, needs=("models", "model"),
    expects="object, created and owned_by as in the list", source="spec Model",
)  # fmt: skip
def retrieve_same(ctx: Context) -> Finding:
    name = _listed_id(ctx)
    answer = ctx.get(f"/models/{name}")
    if not answer.is_ok:
        return inconclusive("models cannot be retrieved (see models.retrieve)")
    item = next(item for item in _items(ctx) if item.get("id") == name)
    differ = [key for key in ("object", "owned_by", "created") if dig(answer.data, key) != dig(item, key)]
    return verdict(not differ, saw=f"{', '.join(differ)} differ" if differ else "the same")


@check(
    "models.retrieve.unknown", "An unknown model is not found", FEATURE, needs=(), requests=1,
    expects="404 from /models/{id}", source="spec; OpenAI: model_not_found",
)  # fmt: skip
def retrieve_unknown(ctx: Context) -> Finding:
    answer = ctx.get(f"/models/{NOBODY}")
    if answer.is_ok:
        return fail(f"{answer.status} for a model that does not exist")
    if answer.status == 404:
        return ok(answer.brief())
    return answer.unaccepted(refusal="fail")


@check(
    "models.retrieve.code", "An unknown model has a code", COSMETIC, needs=(),
    expects="error.code 'model_not_found'", source="OpenAI error codes",
)  # fmt: skip
def retrieve_code(ctx: Context) -> Finding:
    answer = ctx.get(f"/models/{NOBODY}")
    if answer.is_ok or not answer.has_envelope:
        return inconclusive("there is no error to look at (see models.retrieve.unknown)")
    found = answer.error.get("code")
    return verdict(found == "model_not_found", saw=f"code {found!r}")


@check(
    "models.accepted", "The first model listed answers", BREAKS, needs=("models", "chat"), requests=1, tokens=8,
    expects="chat takes data[0].id as model", source="every client that offers a choice of models",
)  # fmt: skip
def accepted(ctx: Context) -> Finding:
    name = _listed_id(ctx)
    if name == ctx.model:
        return ok(f"{short(name, 60)} answers")
    answer = ctx.chat(model=name)
    if answer.is_refused:
        return not_applicable(f"{short(name, 60)} is no chat model: {answer.brief()}")
    return verdict(answer.is_ok, saw=answer.brief())


@check(
    "models.context", "The list says how long a context may be", COSMETIC,
    expects="report only: no field of OpenAI's says it", source="vLLM max_model_len, OpenRouter context_length",
)  # fmt: skip
def context(ctx: Context) -> Finding:
    names = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx_train", "n_ctx")
    item = next(iter(_items(ctx)), {})
    places = {**as_dict(item.get("meta")), **item}
    found = [f"{name} {short(places[name], 20)}" for name in names if places.get(name)]
    return ok(", ".join(found) or "not said")


def _is_time(value: object, latest: float) -> bool:
    return isinstance(value, int) and is_count(value) and value < latest


def _items(ctx: Context) -> list[dict[str, object]]:
    return [as_dict(item) for item in as_list(dig(ctx.get("/models").data, "data"))]


def _listed_id(ctx: Context) -> str:
    """An id of the list: the run's model if it is there."""
    ids = [item["id"] for item in _items(ctx) if isinstance(item.get("id"), str) and item["id"]]
    names = [name for name in ids if isinstance(name, str)]
    if not names:
        raise Ended(inconclusive("no model of the list has an id (see models.item.id)"))
    return ctx.model if ctx.model in names else names[0]
