"""What no stream of the run may hold, line by line."""

from __future__ import annotations

from typing import Any

from llmserve.probe.check import (
    BREAKS,
    Finding,
    fail,
    in_area,
    ok,
)
from llmserve.probe.context import Context
from llmserve.probe.stream import StreamAnswer

check = in_area("streaming", needs=("stream",))


def _no_fault(
    name: str, title: str, kinds: tuple[str, ...], rows: tuple[str, ...], why: str, *, severity: Any = BREAKS
) -> Any:
    """A check that no stream of the run has framing faults of some kinds."""

    @check(f"stream.{name}", title, severity, last=True, rows=rows, expects=f"{title}: none", source=why, quick=True)
    def without(ctx: Context) -> Finding:
        for made in ctx.session.seen:
            if made.media_type == "text/event-stream" and made.status == 200:
                found = next((fault for fault in StreamAnswer(made).faults if fault.kind in kinds), None)
                if found and not (found.kind == "unterminated" and (made.error or made.left)):
                    ctx.note(made)
                    return fail(f"at byte {found.offset}: {found.detail}")
        return ok("none in any stream")

    return without


empty_events = _no_fault(
    "events.empty", "Events without data", ("no_data", "empty_data"),
    ("s12_retry", "s13b_event_ping_nodata", "s14_empty_data"),
    "measured s12, s13b, s14: most clients raise; openai-python#2721, openai-go#556",
)  # fmt: skip
comments = _no_fault(
    "events.comment", "Comments that follow an id", ("comment_after_id",), ("s11_comment_after_id",),
    "measured s11; llmgateway#2334: openai-python reads them as events",
)  # fmt: skip
unterminated = _no_fault(
    "events.unterminated", "Events without a blank line at the end", ("unterminated",), ("s09b_last_no_blank",),
    "measured s09b: all clients lose the last event",
)  # fmt: skip
not_events = _no_fault(
    "events.framing", "Lines that are no field of an event", ("not_sse",), ("s21b_ndjson",),
    "SSE; measured s21b: lines of JSON are an empty answer",
)  # fmt: skip
unknown_fields = _no_fault(
    "events.field", "Fields that no client knows", ("unknown_field",), ("s15_error_field",),
    "measured s15; llama.cpp#16104: an error field passes for a normal end",
)  # fmt: skip
marks = _no_fault(
    "events.bom", "A byte order mark at the beginning", ("bom",), ("s21c_bom",), "measured s21c: the role is lost",
)  # fmt: skip
