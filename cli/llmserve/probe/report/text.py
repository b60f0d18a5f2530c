"""The report for a terminal: areas, clients, and the failures that matter, each in three lines."""

from __future__ import annotations

from typing import Any

from llmserve.output.text import columns, printable
from llmserve.probe.report.record import failures

__all__ = ["explained", "headline", "one_line", "shown", "three_lines"]

WIDTH = 110
MOST = 10
MARKS = {"yes": "✓", "partly": "~", "no": "✗", "unknown": "?"}
LINES = 40


def shown(report: dict[str, Any], *, most: int = MOST) -> str:
    """All that a person reads after a run."""
    parts = [headline(report), _areas(report), _badge(report), _clients(report), _failures(report, most)]
    return "\n\n".join(filter(None, parts))


def headline(report: dict[str, Any]) -> str:
    endpoint = report["endpoint"]
    server = f" ({endpoint['server']})" if endpoint["server"] else ""
    cut = "" if report["complete"] else ", interrupted"
    return (
        f"{endpoint['base_url']}{server} · {endpoint['model'] or 'no model'}\n"
        f"{len(report['checks'])} checks, {report['requests']} requests, {report['tokens']:,} tokens, "
        f"{report['took_s']:.1f} s{cut}"
    )


def one_line(report: dict[str, Any]) -> str:
    """The result in one line, for the closing card of ``up``."""
    counts = report["verdicts"]
    bad = counts.get("fail", 0) + counts.get("ignored", 0)
    judged = counts.get("pass", 0) + bad + counts.get("unsupported", 0)
    badge = _drop_in(report["drop_in"])
    return f"{counts.get('pass', 0)} of {judged} checks pass; {badge}"


def _drop_in(badge: dict[str, Any]) -> str:
    if badge["verdict"] == "no":
        return f"no drop-in: {', '.join(badge['why'][:3])}"
    if badge["verdict"] == "yes":
        return "drop-in"
    return f"nothing breaks clients in {badge['looked_at'] - len(badge['why'])} of {badge['of']} that decide it"


def _areas(report: dict[str, Any]) -> str:
    header = ("AREA", "SCORE", "PASS", "FAIL", "IGNORED", "UNSUPPORTED", "NOT JUDGED")
    rows = [
        (
            area["title"],
            "–" if area["score"] is None else f"{area['score']} %",
            *(str(area[name] or "·") for name in ("pass", "fail", "ignored", "unsupported")),
            str(area["inconclusive"] + area["skipped"] + area["n/a"] or "·"),
        )
        for area in report["areas"]
    ]
    return columns(header, rows)


def _badge(report: dict[str, Any]) -> str:
    badge = report["drop_in"]
    if badge["verdict"] == "yes":
        return "Drop-in replacement: yes. Nothing that breaks a client was found in the core areas."
    if badge["verdict"] == "no":
        return f"Drop-in replacement: no, because of {_listed(badge['why'], 6)}."
    held = badge["looked_at"] - len(badge["why"])
    open_ = f"; not tried: {_listed(badge['why'], 3)}" if badge["why"] else ""
    said = f"Nothing broke a client in {held} of the {badge['of']} checks that decide it"
    return f"Drop-in replacement: not judged. {said}{open_}."


def _clients(report: dict[str, Any]) -> str:
    width = max(len(_name(client)) for client in report["clients"])
    lines = [
        f"  {MARKS[client['works']]} {_name(client):<{width}}  {_why(client)}".rstrip() for client in report["clients"]
    ]
    return "\n".join(
        ["Works with (✓ yes, ~ partly, ✗ no, ? not known; from what each client does with each deviation)", *lines]
    )


def _name(client: dict[str, Any]) -> str:
    return f"{client['name']} {client['version']}".strip()


def _why(client: dict[str, Any]) -> str:
    told = [f"{one['check']}: {one['effect']}" for one in client["why"]]
    return cut(_listed(told, 2, separator="; "), WIDTH - 30)


def _failures(report: dict[str, Any], most: int) -> str:
    bad = failures(report["checks"])
    if not bad:
        return "Nothing failed."
    shown_ = [three_lines(check, report["exchanges"]) for check in bad[:most]]
    rest = (
        f"\n\n… and {len(bad) - most} more: --html FILE shows all, --explain ID one in full." if len(bad) > most else ""
    )
    return "What matters first\n\n" + "\n\n".join(shown_) + rest


def three_lines(check: dict[str, Any], exchanges: list[dict[str, Any]]) -> str:
    """A failure: its name, what was sent, what came, what should have come and who says so."""
    numbers = check["evidence"]["exchanges"]
    sent = request_line(exchanges[numbers[-1]]["request"]) if numbers else "(the whole run)"
    return "\n".join(
        [
            f"{'✗' if check['verdict'] == 'fail' else '○'} {check['id']} ({check['severity']}): {check['title']}",
            f"    sent      {cut(sent)}",
            f"    {'answered' if check['verdict'] == 'fail' else 'ignored ':<9} {cut(check['saw'])}",
            f"    expected  {cut(check['expected'])}  [{cut(check['source'], 60)}]",
        ]
    )


def request_line(request: dict[str, Any]) -> str:
    return f"{request['method']} {request['target']} {' '.join(request['body'][:400].split())}".rstrip()


def explained(check: dict[str, Any], exchanges: list[dict[str, Any]], *, most: int = 6) -> str:
    """One check in full, with the last exchanges that it looked at: bytes, headers, times."""
    rows = [
        ("Verdict", check["verdict"]), ("Severity", check["severity"]), ("Area", check["area"]),
        ("Expected", check["expected"]), ("Source", check["source"]), ("Saw", check["saw"]),
    ]  # fmt: skip
    facts = "\n".join(f"  {name:<9} {value}" for name, value in rows)
    traffic = [_exchange(exchanges[number]) for number in check["evidence"]["exchanges"][-most:]]
    return printable("\n\n".join([f"{check['id']}: {check['title']}\n{facts}", *traffic]))


def _exchange(made: dict[str, Any]) -> str:
    request, answer = made["request"], made["answer"]
    lines = [
        f"> {request['method']} {request['target']}",
        *(f"> {name}: {value}" for name, value in request["headers"]),
    ]
    lines += [">", *_body(request["body"], "> ")] if request["body"] else []
    if answer:
        lines += [
            f"< {answer['version']} {answer['status']}",
            *(f"< {name}: {value}" for name, value in answer["headers"]),
        ]
        lines += ["<", *_body(answer["body"], "< ")] if answer["body"] else []
    if made["error"]:
        lines.append(f"! {made['error']}: {made['detail']}")
    return "\n".join([*lines, *(f"! {fault}" for fault in made["faults"]), f"  {made['took_s']:.3f} s"])


def _body(text: str, mark: str) -> list[str]:
    lines = [mark + cut(line, 400) for line in text.splitlines()]
    return lines if len(lines) <= LINES else [*lines[:LINES], f"{mark}… {len(lines) - LINES} lines more"]


def _listed(names: list[str], most: int, *, separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def cut(text: str, width: int = WIDTH) -> str:
    flat = " ".join(printable(text[: 8 * width]).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
