"""One arrangement of a model on a group of GPUs, worked out: what is taken, and how many tokens the rest holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from llmserve.errors import DoesNotFitError
from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.output.text import GIB
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.calibration import Calibration
from llmserve.plan.pins import Pins
from llmserve.plan.plan import Doubt, Goal, Share
from llmserve.plan.sglang import checks, default_fraction, loaded, memory, pool, weights
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.band import band
from llmserve.plan.sglang.doubts import Known
from llmserve.plan.sglang.fraction import Fraction, chosen, solve
from llmserve.plan.sglang.memory import Tier
from llmserve.plan.sglang.no_room import no_room
from llmserve.plan.sglang.pool import Pool, PoolSettings
from llmserve.plan.shape import SMALLEST_CONTEXT, Fit, fit

MOST_CONTEXT = 262_144
"""Context that is planned for when nobody asked for more: tables grow with it, and few requests are longer."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is being tried: a goal with its pins; ``drafts`` tokens are speculated at once by SGLang ``version``.

    ``look_up`` gives what earlier starts have shown for a group of GPUs and an arrangement.
    """

    goal: Goal
    pins: Pins
    look_up: Callable[[tuple[Gpu, ...], Arrangement], Calibration] = lambda _gpus, _arrangement: Calibration()
    calibration: Calibration = field(default_factory=Calibration)
    drafts: int = 0
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The outcome for one group. ``before_load`` is free memory when the weights begin to load (SGLang's B).

    ``fraction`` is the one in force, ``derating`` times the one ``asked`` for.
    ``solved`` says that the fraction follows from the slack, of which ``allowance`` is the least that stays.
    """

    gpus: tuple[Gpu, ...]
    arrangement: Arrangement
    tier: Tier
    free: int
    before_load: int
    weights: weights.Weights
    slack: tuple[Share, ...]
    image_cache: int
    fraction: float
    settings: PoolSettings
    pool: Pool
    fit: Fit
    band: tuple[int, int]
    asked: float
    derating: float = 1.0
    doubts: tuple[Doubt, ...] = ()
    solved: bool = True
    allowance: int = 0
    weight_factor: float = 1.0
    drafts: int = 0
    nodes: int = 1

    @property
    def pools(self) -> int:
        return self.arrangement.attention_data_parallel * self.arrangement.data_parallel

    @property
    def tokens_in_all(self) -> int:
        return self.pool.tokens * self.pools

    @property
    def tightest(self) -> Gpu:
        return min(self.gpus, key=lambda gpu: gpu.free_bytes)

    @property
    def rest(self) -> int:
        return int(self.before_load * self.fraction) - self.weights.size_bytes - self.image_cache


def work_out(model: Model, gpus: tuple[Gpu, ...], arrangement: Arrangement, wish: Wish) -> Layout:
    """Fill one group of GPUs.

    Raises:
        DoesNotFitError: the weights, or the context asked for, exceed its memory.
    """
    checks.capability(model, gpus[0])
    goal, pins, tightest = wish.goal, wish.pins, min(gpus, key=lambda gpu: gpu.free_bytes)
    wish = replace(wish, calibration=wish.look_up(gpus, arrangement))
    context = checks.context(model, pins) or goal.context or min(model.context_length, MOST_CONTEXT)
    before_load, free = _before_load(tightest, gpus, arrangement, wish)
    loaded.check_peak(model, arrangement, pins, before_load)
    weighed = _weights(model, arrangement, wish, arch=tightest.arch)
    tier = _tier(tightest, model, arrangement, wish, context=context)
    slack = _slack(tightest, model, arrangement, tier, wish, context=context)
    fraction = _fraction(model, tightest, arrangement, tier, wish, slack, before_load, weighed.size_bytes, context)
    images = sglang_rules.image_cache(wish.version) if model.vision else 0
    rest = int(before_load * fraction.value) - weighed.size_bytes - images
    settings = _settings(model, arrangement, tier, wish, arch=tightest.arch, context=context)
    filled, settings = _fill(model, rest, settings, pins)
    if filled is None or filled.tokens < 1:
        needed = sum(share.size_bytes for share in slack)
        cache = _wanted_cache(model, goal, arrangement, settings)
        raise no_room(model, gpus, before_load, weighed.size_bytes, needed, pins, cache=cache)
    checks.requests(filled)
    checks.slack(model, before_load, rest, weighed.size_bytes, fraction.value)
    shape = fit(
        model, goal, tokens=filled.tokens, cell=filled.cell, most_context=min(context, MOST_CONTEXT),
        pools=arrangement.attention_data_parallel * arrangement.data_parallel,
        most_requests=_most_requests(filled, arrangement, goal),
    )  # fmt: skip
    known = Known(
        model=model, gpu=tightest, arrangement=arrangement, pool=filled, settings=settings,
        weight_bytes=weighed.size_bytes, pins=pins, fractions=fraction.between,
        at_fraction=lambda other: _tokens_at(
            model, rest + int(before_load * (other - fraction.asked) * fraction.derating), settings
        ),
    )  # fmt: skip
    expected, doubts = band(known, wish.calibration)
    return Layout(
        gpus=gpus, arrangement=arrangement, tier=tier, free=free, before_load=before_load, weights=weighed,
        slack=slack, image_cache=images, fraction=fraction.value, asked=fraction.asked,
        derating=fraction.derating, settings=settings, pool=filled, fit=shape,
        band=expected, doubts=doubts, drafts=wish.drafts,
        solved=fraction.solved, allowance=memory.allowance(tightest, model),
        weight_factor=0.0 if "weights_gib" in pins.values else wish.calibration.weight_factor or 1.0,
    )  # fmt: skip


def _tokens_at(model: Model, rest: int, settings: PoolSettings) -> int:
    return pool.size(model, rest, settings).tokens if rest > 0 else 0


def _wanted_cache(model: Model, goal: Goal, arrangement: Arrangement, settings: PoolSettings) -> int:
    """Bytes of KV cache per GPU that the goal asks for; what the smallest useful context takes if it asks for none."""
    full, window = pool.cells(model, settings)
    pools = arrangement.attention_data_parallel * arrangement.data_parallel
    share = -(-(goal.concurrency or 1) // pools)
    return int((goal.context or min(SMALLEST_CONTEXT, model.context_length)) * share * (full or window))


def _fill(model: Model, rest: int, settings: PoolSettings, pins: Pins) -> tuple[Pool | None, PoolSettings]:
    """The pools, with no more states than the running requests can hold."""
    if rest <= 0:
        return None, settings
    filled, running = pool.size(model, rest, settings), settings.max_running_requests
    if filled.state_slots is None or running is None or pins.replays or "max_mamba_cache_size" in pins.values:
        return filled, settings
    most = running * sglang_rules.slots_per_request(model, radix_cache=settings.radix_cache)
    if filled.state_slots * settings.arrangement.attention_data_parallel <= most:
        return filled, settings
    settings = replace(settings, state_slots=most)
    return pool.size(model, rest, settings), settings


def _before_load(tightest: Gpu, gpus: tuple[Gpu, ...], arrangement: Arrangement, wish: Wish) -> tuple[int, int]:
    """Free memory before the weights load, and before the start."""
    pinned = wish.pins.number("before_load_gib", None, most=tightest.total_bytes / GIB)
    if pinned is not None:
        return int(pinned * GIB), max(int(pinned * GIB), tightest.free_bytes)
    overhead = wish.calibration.start_overhead_bytes
    taken = memory.start_overhead(gpus, arrangement) if overhead is None else overhead
    return max(0, tightest.free_bytes - taken), tightest.free_bytes


def _weights(model: Model, arrangement: Arrangement, wish: Wish, *, arch: str) -> weights.Weights:
    pinned = wish.pins.number("weights_gib", None)
    if pinned is not None:
        return weights.Weights(size_bytes=int(pinned * GIB), basis="fixed")
    model = loaded.of(model, wish.pins)
    found = weights.on_device(model, arrangement, draft=bool(wish.drafts), arch=arch, version=wish.version)
    factor = wish.calibration.weight_factor
    return (
        found
        if factor is None
        else weights.Weights(size_bytes=int(found.size_bytes * factor), basis=wish.calibration.basis)
    )


def _tier(tightest: Gpu, model: Model, arrangement: Arrangement, wish: Wish, *, context: int) -> Tier:
    """Engine sizes; a quarter more requests than asked for, since few are at full length together."""
    asked = wish.goal.concurrency
    requests = max(8, asked * 5 // 4) if asked else None
    requests = wish.pins.whole("max_running_requests", requests)
    if default_fraction.is_word(wish.pins.text("mem_fraction_static", "")):
        chunk, batch = default_fraction.sizes(tightest.total_bytes, arrangement.tensor_parallel)
        tier = Tier(chunk, requests or batch, prefill_graph=True)
    else:
        tier = memory.choose_tier(tightest, model, arrangement, context=context, requests=requests)
    graphs = wish.pins.text("cuda_graph_backend_prefill", "" if tier.prefill_graph else "disabled")
    return Tier(checks.chunk(wish.pins, tier.chunk), tier.requests, prefill_graph=graphs != "disabled")


def _slack(
    tightest: Gpu, model: Model, arrangement: Arrangement, tier: Tier, wish: Wish, *, context: int
) -> tuple[Share, ...]:
    shares = memory.slack(tightest, model, arrangement, tier, context=context, drafts=wish.drafts)
    chunk = tier.chunk if tier.prefill_graph else 0
    if (graphs := wish.calibration.graph_bytes(chunk=chunk, batch=tier.requests, drafts=wish.drafts)) is not None:
        measured = Share(name="CUDA graphs", size_bytes=graphs, basis=wish.calibration.basis)
        shares = tuple(measured if share.name == measured.name else share for share in shares)
    if reserve := wish.goal.reserve_bytes:
        shares = (*shares, Share(name="reserve", size_bytes=reserve, basis="asked for with --reserve"))
    return shares


def _fraction(
    model: Model, gpu: Gpu, arrangement: Arrangement, tier: Tier, wish: Wish, slack: tuple[Share, ...],
    before_load: int, weighed: int, context: int,
) -> Fraction:  # fmt: skip
    solved = solve(
        before_load, weighed, needs=sum(share.size_bytes for share in slack),
        reserve=sum(share.size_bytes for share in slack if share.name == "reserve"),
        allowance=memory.allowance(gpu, model),
    )  # fmt: skip
    return chosen(model, gpu, arrangement, tier, wish.pins, context=context, version=wish.version, solved=solved)


def _settings(
    model: Model, arrangement: Arrangement, tier: Tier, wish: Wish, *, arch: str, context: int
) -> PoolSettings:
    pins = wish.pins
    asked = pins.text("kv_cache_dtype", wish.goal.kv_dtype or "auto")
    window_ratio = None if pins.replays else sglang_rules.good_window_ratio(model, context)
    state_ratio = pool.good_state_ratio(model, arrangement, context=None if pins.replays else wish.goal.context)
    return PoolSettings(
        arrangement=arrangement,
        kv_dtype=sglang_rules.default_kv_dtype(model, arch) if asked == "auto" else asked,
        page_size=pins.whole("page_size", sglang_rules.page_size(model, arch)),
        window_ratio=pins.number("swa_full_tokens_ratio", window_ratio),
        state_ratio=pins.number("mamba_full_memory_ratio", state_ratio),
        state_slots=pins.whole("max_mamba_cache_size", None),
        state_dtype=pins.text("mamba_ssm_dtype", "") or None,
        max_running_requests=tier.requests,
        max_total_tokens=checks.cap(model, wish.goal, pins),
        radix_cache=not pins.switch("disable_radix_cache"),
        context=context,
        draft_layers=pins.whole("draft_layers", max(1, model.mtp_layers) if wish.drafts else 0, least=0),
        draft_cell=pins.whole("draft_cell_bytes", 0, least=0),
        draft_tokens=wish.drafts,
        arch=arch,
        version=wish.version,
    )


def _most_requests(filled: Pool, arrangement: Arrangement, goal: Goal) -> int:
    most = filled.requests * arrangement.attention_data_parallel * arrangement.data_parallel
    if goal.concurrency and goal.concurrency > most:
        raise DoesNotFitError(
            f"{goal.concurrency} requests at the same time need more linear-attention states than fit: {most}.",
            hint=f"Try --concurrency {most}." if most else "Use more GPUs, or a smaller model.",
            data={"missing_bytes": 0},
        )
    return max(1, most)
