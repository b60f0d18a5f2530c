"""The report as JUnit XML, which every CI system shows."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from llmserve.probe.report.text import request_line

__all__ = ["junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: dict[str, Any], *, fail_on: tuple[str, ...]) -> str:
    """A suite for each area; what fails with a severity of ``fail_on`` is a failure, all else that is wrong is told."""
    suites = [_suite(area, report, fail_on) for area in report["areas"]]
    head = f'<testsuites name="llmserve probe" tests="{len(report["checks"])}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *suites, "</testsuites>", ""])


def _suite(area: dict[str, Any], report: dict[str, Any], fail_on: tuple[str, ...]) -> str:
    checks = [check for check in report["checks"] if check["area"] == area["id"]]
    failed = sum(_fails(check, fail_on) for check in checks)
    left = sum(check["verdict"] in ("skipped", "n/a", "inconclusive", "unsupported") for check in checks)
    cases = "\n".join(_case(check, report["exchanges"], fail_on) for check in checks)
    name = _attribute(area["title"])
    return f'<testsuite name={name} tests="{len(checks)}" failures="{failed}" skipped="{left}">\n{cases}\n</testsuite>'


def _case(check: dict[str, Any], exchanges: list[dict[str, Any]], fail_on: tuple[str, ...]) -> str:
    head = f'<testcase classname={_attribute(check["area"])} name={_attribute(check["id"])} time="{check["took_s"]}">'
    said = _attribute(f"{check['verdict']}: {check['saw']}")
    if _fails(check, fail_on):
        sent = "\n".join(request_line(exchanges[number]["request"]) for number in check["evidence"]["exchanges"])
        text = f"sent: {sent}\nsaw: {check['saw']}\nexpected: {check['expected']}\nsource: {check['source']}"
        return f"{head}<failure type={_attribute(check['severity'])} message={said}>{_text(text)}</failure></testcase>"
    if check["verdict"] in ("skipped", "n/a", "inconclusive", "unsupported"):
        return f"{head}<skipped message={said}/></testcase>"
    if check["verdict"] != "pass":
        return f"{head}<system-out>{_text(check['verdict'] + ': ' + check['saw'])}</system-out></testcase>"
    return head.removesuffix(">") + "/>"


def _fails(check: dict[str, Any], fail_on: tuple[str, ...]) -> bool:
    return check["verdict"] in ("fail", "ignored") and check["severity"] in fail_on


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))
