"""What a plan looks like: its memory as bars with legends, and its users by the length of their conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.output.text import gib
from llmserve.plan.plan import Plan, PlannedGpu
from llmserve.plan.users import UsersAt

_ALIKE = 64  # GPUs are shown as one when no share differs by more than this part of the card


def memory(plan: Plan, look: Look) -> Iterator[list[str]]:
    """One bar with its legend for each kind of GPU, or for host memory."""
    if not plan.gpus:
        title = f"Host memory: {gib(plan.memory_bytes)} to plan with"
        yield _bar(title, [(share.name, share.size_bytes, share.basis) for share in plan.ledger], look)
    for gpus in _alike(plan.gpus):
        tightest = min(gpus, key=lambda gpu: gpu.free_bytes)
        title = f"{_called(gpus)}: {gib(tightest.free_bytes)} free of {gib(tightest.total_bytes)}"
        yield _bar(title, [(share.name, share.size_bytes, share.basis) for share in tightest.ledger], look)


def _bar(title: str, shares: Sequence[tuple[str, int, str]], look: Look) -> list[str]:
    shown = [share for share in shares if share[1]]
    drawn, swatches = ledger.draw([(name, size) for name, size, _ in shown], look)
    table = [(name, gib(size), basis) for name, size, basis in shown]
    legend = ledger.rows(table, look, right=(1,), swatches=swatches)
    return [*ledger.folded(title, look), f"  {drawn}", *legend]


def _alike(gpus: Sequence[PlannedGpu]) -> list[list[PlannedGpu]]:
    """GPUs in groups whose ledgers look the same."""
    groups: list[list[PlannedGpu]] = []
    for gpu in gpus:
        group = next((group for group in groups if _same(gpu, group[0])), None)
        if group is None:
            groups.append([gpu])
        else:
            group.append(gpu)
    return groups


def _same(one: PlannedGpu, other: PlannedGpu) -> bool:
    names = [share.name for share in one.ledger] == [share.name for share in other.ledger]
    if not names or one.name != other.name or one.total_bytes != other.total_bytes:
        return False
    limit = one.total_bytes // _ALIKE
    pairs = zip(one.ledger, other.ledger, strict=True)
    return all(abs(a.size_bytes - b.size_bytes) <= limit for a, b in pairs)


def _called(gpus: Sequence[PlannedGpu]) -> str:
    if len(gpus) == 1:
        return f"GPU {gpus[0].index}, {gpus[0].name}"
    exact = len({gpu.free_bytes for gpu in gpus}) == 1
    return f"Each of {len(gpus)} × {gpus[0].name}{'' if exact else ' (the tightest)'}"


def users(table: Sequence[UsersAt], look: Look) -> list[str]:
    """Contexts as columns, as many to a line as there is room for."""
    if not table:
        return []
    heads = [short(entry.context) for entry in table]
    cells = [f"{entry.users:,}" if entry.users else "none" for entry in table]
    least = [f"{entry.least:,}" if entry.users else "none" for entry in table]
    lines = [("tokens each", heads), ("users", cells)]
    if least != cells:
        lines.append(("at least", least))
    widths = [max(len(row[i]) for _, row in lines) for i in range(len(table))]
    text = ledger.folded("Users at the same time, by the length of their conversations:", look)
    for part in _parts(widths, look.width - 15):
        text += [f"  {name:<13}" + "  ".join(row[i].rjust(widths[i]) for i in part) for name, row in lines]
    return [*text, *_footnotes(table, look)]


def _footnotes(table: Sequence[UsersAt], look: Look) -> Iterator[str]:
    bounds: dict[str, list[str]] = {}
    for entry in table:
        bounds.setdefault(entry.limit, []).append(short(entry.context))
    words = {
        "requests": "the bound on running requests decides",
        "window": "the pool of layers with a window decides",
        "states": "the slots for states decide",
    }
    for limit, heads in bounds.items():
        if limit in words:
            yield from ledger.folded(f"At {_listed(heads)} {words[limit]}.", look, first="  ", rest="  ")
    if any(entry.users and not entry.planned for entry in table):
        longest = max(entry.context for entry in table if entry.users)
        own = max(entry.context for entry in table if entry.planned)
        text = f"Beyond {short(own)} the plan has to be made for it: --context {short(longest).replace(',', '')}."
        yield from ledger.folded(text, look, first="  ", rest="  ")


def short(tokens: int) -> str:
    """``32k`` for 32,768 and ``1M`` for 1,048,576, as the options read them; other figures in full."""
    if tokens and tokens % 1024**2 == 0:
        return f"{tokens // 1024**2}M"
    return f"{tokens // 1024}k" if tokens and tokens % 1024 == 0 else f"{tokens:,}"


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Column numbers in lines of at most ``room`` characters."""
    part: list[int] = []
    for i, _ in enumerate(widths):
        if part and sum(widths[j] + 2 for j in part) + widths[i] > room:
            yield part
            part = []
        part.append(i)
    yield part


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
