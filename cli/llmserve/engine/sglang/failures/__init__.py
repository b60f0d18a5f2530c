"""What SGLang's log and exit code say about a failure (0.5.23), as tables of rules.

Ranks: 90 a refused flag, 80 a cause, 60 a likely cause, 30 a symptom, 10 the last line of a traceback, 5 and less a
consequence of something printed before it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llmserve.engine.base import Failure
from llmserve.engine.sglang.failures import flags, kernels, machine, memory, model, symptoms
from llmserve.engine.sglang.failures.exits import exit_failure

__all__ = ["RULES", "exit_failure", "failure"]

RULES = (*flags.RULES, *memory.RULES, *model.RULES, *machine.RULES, *kernels.RULES, *symptoms.RULES)

_PASS_OVER = re.compile(
    r"""INFO:\ \ |Prefill\ batch|Decode\ batch  # a busy server prints thousands of these
    |Ignore\ import\ error\ when\ loading      # models that SGLang then does without, at every start
    |^\s*(?:raise|assert|return|logger\.|msg)\b  # source code within a traceback quotes messages with their blanks
    |^\s*[furb]{0,2}["']
    """,
    re.VERBOSE,
)


def failure(line: str) -> Failure | None:
    """The weightiest finding in ``line``."""
    if _PASS_OVER.search(line):
        return None
    found = [finding for rule in RULES if (finding := rule.match(line))]
    heaviest = max(found, key=lambda finding: finding.rank, default=None)
    if heaviest and heaviest.message.endswith(".."):  # SGLang's own full stop before ours
        return replace(heaviest, message=heaviest.message[:-1])
    return heaviest
