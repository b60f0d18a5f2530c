"""How near the planner comes to recorded start-ups, and how near other rules come on the same cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmserve.errors import LlmserveError
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.choose import choose
from llmserve.plan.pins import Pins
from llmserve.plan.plan import Goal, Plan
from llmserve.plan.sglang import loaded, pool, weights
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.pool import PoolSettings
from tests.bench import sglang_defaults, vllm_weights
from tests.bench.startups import GIB, Case

_PINS = (
    "tp_size", "pp_size", "dp_size", "ep_size", "chunked_prefill_size", "page_size", "max_total_tokens",
    "max_running_requests", "swa_full_tokens_ratio", "mamba_full_memory_ratio", "max_mamba_cache_size",
    "context_length", "disable_radix_cache", "enable_dp_attention", "kv_cache_dtype", "kt_num_gpu_experts",
    "moe_a2a_backend",
)  # fmt: skip
_HALF = {"auto", "bfloat16", "bf16", "float16", "auto (float16)", "auto (bfloat16)", None}


@dataclass(frozen=True)
class Outcome:
    """Tokens predicted and logged; ``basis`` says what was given. ``band`` only where a whole plan was made."""

    predicted: float
    actual: float
    basis: str
    band: tuple[int, int] | None = None

    @property
    def error(self) -> float:
        return self.predicted / self.actual - 1


def arrangement(case: Case) -> Arrangement:
    """How the record spread the model; an "attention-DP" record has as many groups as ``dp`` says."""
    tp, dp = int(case.tp or 1), int(case.dp or 1)
    grouped = bool(case.flags.get("enable_dp_attention"))
    return Arrangement(
        tensor_parallel=tp, pipeline_parallel=int(case.pp or 1), attention_data_parallel=dp if grouped else 1,
        data_parallel=1 if grouped else dp, all_to_all="moe_a2a_backend" in case.flags,
        expert_parallel=tp if "moe_a2a_backend" in case.flags else int(case.ep or 1),
    )  # fmt: skip


def settings(case: Case) -> PoolSettings:
    """The record's own settings; what it does not name was left at SGLang's default."""
    flags = case.flags
    eagle = str(flags.get("speculative_algorithm") or flags.get("speculative_algo") or "").upper().startswith("EAGLE")
    return PoolSettings(
        arrangement=arrangement(case), kv_dtype=kv_dtype(case),
        page_size=int(case.page_size or flags.get("page_size") or 1),
        window_ratio=flags.get("swa_full_tokens_ratio"),
        state_ratio=flags.get("mamba_full_memory_ratio", sglang_rules.STATE_RATIO),
        state_slots=flags.get("max_mamba_cache_size"), max_running_requests=flags.get("max_running_requests"),
        max_total_tokens=flags.get("max_total_tokens"), radix_cache=not flags.get("disable_radix_cache"),
        context=int(case.context_len or 0), draft_layers=1 if eagle else 0, draft_cell=_draft_cell(case),
        draft_tokens=int(flags.get("speculative_num_draft_tokens", 0)) if eagle else 0,
        arch=case.card.arch, version=case.version,
    )  # fmt: skip


def kv_dtype(case: Case) -> str:
    said = case.kv_dtype
    return "bfloat16" if said in _HALF else "fp8_e4m3" if "8" in str(said) else "nvfp4"


def from_logged_memory(case: Case, model: Model) -> Outcome | None:
    """(a): tokens from the free memory and the weights that the log states; from its pool's size where it does not."""
    actual = case.kv_tokens
    if not actual:
        return None
    given = settings(case)
    rest, basis = _rest(case, model), "free memory and weights"
    if rest is None and case.kv_gb:
        full, window = pool.cells(model, replace(given, draft_layers=_vllm_drafts(case), draft_cell=0))
        ratio = given.window_ratio if given.window_ratio is not None else sglang_rules.window_ratio(model)
        split = case.engine == "sglang" and window and full
        tokens = case.kv_gb * GIB / (full + (ratio * window if split else window))
        return Outcome(tokens, actual, "size of the pool")
    if rest is None:
        return None
    return Outcome(pool.size(model, rest, given).tokens, actual, basis)


def cell(case: Case, model: Model) -> float:
    """Bytes that one token takes of the pools of one GPU."""
    filled = pool.size(model, 2**40, replace(settings(case), max_total_tokens=None))
    return filled.kv_bytes / filled.tokens


def _vllm_drafts(case: Case) -> int:
    """Layers of a draft that shares vLLM's pool; SGLang logs the target's pool by itself."""
    method = (case.flags.get("speculative_config") or {}).get("method", "")
    return 1 if case.engine == "vllm" and method in ("eagle", "eagle3") else 0


def _rest(case: Case, model: Model) -> int | None:
    fraction = case.mem_fraction_static
    inferred = case.extra.get("mem_fraction_inferred")
    if case.engine != "sglang" or case.before_load is None or case.after_load is None or not fraction or inferred:
        return None
    images = sglang_rules.image_cache(case.version) if model.vision else 0
    return int((case.after_load - case.before_load * (1 - fraction)) * GIB) - images


def planned(case: Case, model: Model) -> tuple[Plan | None, str]:
    """(b): the plan from the machine's profile and the configuration alone, the record's flags pinned."""
    pins = {name: str(case.flags[name]) for name in _PINS if name in case.flags and name != "kv_cache_dtype"}
    pins |= _drafts(case)
    sizes = arrangement(case)
    pins |= {
        "tp_size": str(sizes.tensor_parallel), "pp_size": str(sizes.pipeline_parallel),
        "dp_size": str(sizes.data_parallel), "attn_dp_size": str(sizes.attention_data_parallel),
        "mem_fraction_static": str(case.mem_fraction_static or "unknown"), "kv_cache_dtype": kv_dtype(case),
    }  # fmt: skip
    pins.pop("enable_dp_attention", None)
    if settings(case).draft_cell:
        pins["draft_cell_bytes"] = str(settings(case).draft_cell)
    try:
        goal = Goal(fixed=tuple(pins.items()))
        return choose(model, case.machine(), goal, engine="sglang", reason="recorded", engine_version=case.version), ""
    except LlmserveError as error:
        return None, error.message


def _drafts(case: Case) -> dict[str, str]:
    """What the record says of speculation and graphs, under today's names."""
    flags, found = case.flags, {}
    algorithm = flags.get("speculative_algorithm") or flags.get("speculative_algo")
    if algorithm and not settings(case).draft_cell:
        found["speculative_algorithm"] = str(algorithm)
        if "speculative_num_draft_tokens" in flags:
            found["speculative_num_draft_tokens"] = str(flags["speculative_num_draft_tokens"])
        if "speculative_draft_model_path" in flags:
            found["speculative_draft_model_path"] = str(flags["speculative_draft_model_path"])
    sizes = flags.get("cuda_graph_bs") or []
    batch = flags.get("cuda_graph_max_bs") or max(sizes if isinstance(sizes, list) else [sizes], default=0)
    return found | ({"cuda_graph_max_bs_decode": str(batch)} if batch else {})


def weights_error(case: Case, model: Model) -> float | None:
    """(c): weights of one rank against the log."""
    if case.weight_mem_gb is None:
        return None
    if case.engine == "vllm":
        found = vllm_weights.size_bytes(case, model, arrangement(case))
    else:
        resident = tuple((name, str(value)) for name, value in case.flags.items() if name == "kt_num_gpu_experts")
        kept = loaded.of(model, Pins.of(resident))
        found = weights.on_device(kept, arrangement(case), arch=case.card.arch, version=case.version).size_bytes
    return float(found / GIB / case.weight_mem_gb - 1)


def left_by_our_fraction(case: Case) -> float | None:
    """GiB that llmserve's own fraction would have left free at the end, the engine's sizes being the record's.

    What the start took besides weights and pools is in the log. None where it is not, or a draft took a part of it.
    """
    end, before, given = case.available_gpu_mem_end_gb, case.before_load, case.mem_fraction_static
    drafted = "speculative_algorithm" in case.flags or case.capped
    if case.engine != "sglang" or case.model is None or end is None or before is None or given is None or drafted:
        return None
    flags = case.flags
    batch = flags.get("cuda_graph_max_bs") or max(flags.get("cuda_graph_bs") or [0]) or sglang_defaults.batch(case)
    fixed = {
        "before_load_gib": before, "weights_gib": case.weight_mem_gb, "tp_size": case.tp or 1,
        "chunked_prefill_size": case.chunked_prefill_size or sglang_defaults.chunk(case), "max_running_requests": batch,
        "cuda_graph_backend_prefill": "disabled" if flags.get("disable_piecewise_cuda_graph") else "breakable",
        "context_length": case.context_len or case.model.context_length,
    }  # fmt: skip
    pins = tuple((name, str(value)) for name, value in fixed.items())
    plan = choose(case.model, case.machine(), Goal(fixed=pins), engine="sglang", reason="recorded")
    fraction = float(next(flag.value or 0 for flag in plan.flags if flag.name == "--mem-fraction-static"))
    table = ((case.max_running_requests or batch) - batch) * int(fixed["context_length"]) * 4 / GIB
    taken = before * (1 - given) - end - table  # the plan bounds the requests, and with them their table
    return float(before * (1 - fraction) - taken)


def naive_cell(model: Model) -> float:
    """What calculators take: two vectors of every KV head in every layer, 16 bit, whatever the architecture keeps."""
    return 2 * model.layers * model.kv_heads * model.head_dim * 2


def naive_tokens(case: Case, model: Model, *, weights: float, overhead: float) -> float:
    """Tokens by a calculator's rule: what ``weights`` x their size and ``overhead`` GiB leave of the whole card."""
    sizes = arrangement(case)
    ranks = sizes.tensor_parallel * sizes.pipeline_parallel
    left = case.card.total * GIB - weights * model.weight_bytes / ranks - overhead * GIB
    return float(left / (naive_cell(model) / ranks))


def gain_over_defaults(case: Case, model: Model) -> float | None:
    """KV tokens of llmserve's own plan on the record's GPUs, over those of SGLang's default flags; None for neither."""
    sizes = arrangement(case)
    fraction = sglang_defaults.fraction(case, model, sizes)
    if fraction is None:
        return None
    pins = (("tp_size", str(sizes.tensor_parallel)), ("pp_size", str(sizes.pipeline_parallel)))
    try:
        ours = choose(model, case.machine(), Goal(fixed=pins), engine="sglang", reason="recorded")
        default = Goal(fixed=(*pins, ("mem_fraction_static", str(fraction))))
        theirs = choose(model, case.machine(), default, engine="sglang", reason="recorded")
    except LlmserveError:
        return None
    return ours.kv_tokens / theirs.kv_tokens


def _draft_cell(case: Case) -> int:
    """Bytes per token of a draft with a cache of its own shape, as its pool is logged."""
    if "DFLASH" not in str(case.flags.get("speculative_algorithm")):
        return 0
    draft: dict[str, float] = case.extra["pools"][-1]
    return 4096 * round((draft["k_gb"] + draft["v_gb"]) * GIB / draft["tokens"] / 4096)
