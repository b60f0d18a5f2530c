"""Options that say what a plan is for, shared by ``up`` and ``plan``, and the :class:`Goal` that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_args

import typer

from llmserve.commands import quantities
from llmserve.errors import UsageError
from llmserve.plan.pins import Pins
from llmserve.plan.plan import Goal, Objective

ENGINES = ("auto", "sglang", "llamacpp")
KV_DTYPES = ("auto", "bfloat16", "fp8_e4m3", "fp8_e5m2")
_SHORT = {"bf16": "bfloat16", "fp8": "fp8_e4m3"}
_OWN = {
    "model_path": "MODEL", "model": "MODEL", "served_model_name": "--name", "host": "--host", "port": "--port",
    "api_key": "--api-key-file", "admin_api_key": "--api-key-file",
}  # fmt: skip

Engine = Annotated[str, typer.Option(metavar="NAME", help="auto, sglang or llamacpp.", envvar="LLMSERVE_ENGINE")]
Context = Annotated[
    str | None, typer.Option(metavar="TOKENS", help="Tokens per request, prompt and answer together; 32k is 32,768.")
]
Concurrency = Annotated[int | None, typer.Option(metavar="N", help="Requests of that length at the same time.")]
Aim = Annotated[
    str | None, typer.Option("--objective", metavar="AIM", help="latency, throughput, or fit (the most tokens).")
]
Gpus = Annotated[int | None, typer.Option(metavar="N", help="How many GPUs to use. Omitted: as many as it takes.")]
KvDtype = Annotated[str | None, typer.Option(metavar="TYPE", help=f"KV cache: {', '.join(KV_DTYPES)}.")]
Reserve = Annotated[str | None, typer.Option(metavar="SIZE", help="Memory to leave free on each device: 2GiB, 500MiB.")]
HiCache = Annotated[
    str | None, typer.Option("--hicache", metavar="SIZE", help="Host memory for KV cache that the GPUs dropped.")
]
Fixed = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Pin a setting of the engine: mem_fraction_static=0.85. May be repeated."),
]
Nodes = Annotated[int, typer.Option(metavar="N", help="Plan for so many machines of this kind together.")]
Revision = Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit on the hub.")]


def engine_name(wish: str) -> str:
    """Raises UsageError when no engine is called ``wish``."""
    if wish not in ENGINES:
        raise UsageError(f"There is no engine called {wish!r}.", hint=f"Use --engine {_either(ENGINES)}.")
    return wish


def goal(
    *,
    engine: str = "auto",
    context: str | None = None,
    concurrency: int | None = None,
    objective: str | None = None,
    gpus: int | None = None,
    kv_dtype: str | None = None,
    reserve: str | None = None,
    hicache: str | None = None,
    fixed: Sequence[str] | None = None,
    nodes: int = 1,
) -> Goal:
    """The user's wishes as a record.

    Raises:
        UsageError: a value says nothing, or two options contradict each other.
    """
    wishes = Goal(
        context=None if context is None else quantities.tokens(context, "--context"),
        concurrency=_at_least_one(concurrency, "--concurrency"),
        objective=_objective(objective),
        gpus=_at_least_one(gpus, "--gpus"),
        kv_dtype=_kv_dtype(kv_dtype),
        reserve_bytes=0 if reserve is None else quantities.size(reserve, "--reserve"),
        host_cache_bytes=None if hicache is None else quantities.size(hicache, "--hicache") or None,
        fixed=tuple(_pin(text) for text in fixed or ()),
        nodes=_at_least_one(nodes, "--nodes") or 1,
    )
    _agree(wishes, engine)
    return wishes


def _at_least_one(value: int | None, option: str) -> int | None:
    if value is not None and value < 1:
        raise UsageError(f"{option} must be at least 1, not {value}.", hint="Leave it out to let llmserve choose.")
    return value


def _objective(wish: str | None) -> Objective | None:
    for known in get_args(Objective):
        if wish == known:
            return known  # type: ignore[no-any-return]
    if wish is None:
        return None
    raise UsageError(f"There is no objective {wish!r}.", hint=f"Use --objective {_either(get_args(Objective))}.")


def _kv_dtype(wish: str | None) -> str | None:
    name = _SHORT.get(wish or "auto", wish or "auto")
    if name not in KV_DTYPES:
        raise UsageError(f"There is no KV cache type {wish!r}.", hint=f"Use --kv-dtype {_either(KV_DTYPES)}.")
    return None if name == "auto" else name


def _pin(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if not equals or not name:
        hint = f"Use --fixed {name or 'mem_fraction_static'}=VALUE; a switch takes =true."
        raise UsageError(f"--fixed {text!r} is not NAME=VALUE.", hint=hint)
    if name in _OWN:
        raise UsageError(f"{name} cannot be pinned with --fixed.", hint=f"Use llmserve's own {_OWN[name]}.")
    return name, value.strip()


def _agree(wishes: Goal, engine: str) -> None:
    pins = Pins.of(wishes.fixed)
    for option, name, value in (
        ("--context", "context_length", wishes.context),
        ("--kv-dtype", "kv_cache_dtype", wishes.kv_dtype),
    ):
        if value is not None and pins.text(name, str(value)) != str(value):
            raise _contradiction(f"{option} {value}", f"--fixed {name}={pins.text(name, '')}")
    tensor, stages = pins.whole("tp_size", 1), pins.whole("pp_size", 1)
    if wishes.gpus is not None and tensor * stages > wishes.gpus:
        size = f"--fixed tp_size={tensor}" + (f" pp_size={stages}" if stages > 1 else "")
        raise _contradiction(f"--gpus {wishes.gpus}", f"{size}, which takes {tensor * stages}")
    if engine == "llamacpp" and wishes.host_cache_bytes is not None:
        raise _contradiction("--hicache", "--engine llamacpp, which has no such cache")


def _contradiction(one: str, other: str) -> UsageError:
    return UsageError(f"{one} contradicts {other}.", hint="Give one of the two.", code="contradiction")


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
