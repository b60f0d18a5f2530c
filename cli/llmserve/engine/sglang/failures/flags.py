"""Flags and values that SGLang refuses."""

from __future__ import annotations

from llmserve.engine.rules import Rule
from llmserve.engine.sglang.failures.hints import FLAGS

RULES = (
    Rule(
        "bad_flag",
        r"(?:^|: )error: unrecognized arguments: (?P<what>\S+)",
        "This version of SGLang has no flag {what}.",
        FLAGS,
        exit_code=2,
        rank=90,
    ),
    Rule(
        "bad_flag",
        r"(?:^|: )error: ambiguous option: (?P<flag>\S+) could match (?P<what>[^\s,]+)",
        "{flag} could be several of SGLang's flags, {what} for one.",
        FLAGS,
        exit_code=2,
        rank=90,
    ),
    Rule(
        "bad_value",
        r"(?:^|: )error: argument (?P<flag>[^ :]+)\S*: invalid choice: (?P<value>'[^']{0,80}')",
        "SGLang refuses {value} for {flag}.",
        FLAGS,
        exit_code=2,
        rank=90,
    ),
    Rule(
        "bad_value",
        r"(?:^|: )error: argument (?P<flag>[^ :]+)\S*: (?P<what>.{1,200})",
        "SGLang refuses {flag}: {what}.",
        FLAGS,
        exit_code=2,
        rank=90,
    ),
    Rule(
        "bad_flag",
        r"(?:^|: )error: (?P<what>the following arguments are required: .{1,200})",
        "SGLang misses something: {what}.",
        FLAGS,
        exit_code=2,
        rank=90,
    ),
    Rule(
        "context_too_long",
        r"context_length \((?P<asked>\d+)\) is greater than the derived context_length \((?P<known>\d+)\)",
        "The model was made for {known} tokens of context; {asked} were asked for.",
        "Use --context {known} or less.",
        exit_code=2,
        rank=90,
    ),
    Rule(
        "quantization_mismatch",
        r"Quantization method specified in the model config \((?P<has>\S+)\) does not match .* \((?P<asked>\S+)\)",
        "The checkpoint is quantised with {has}; {asked} was asked for.",
        "Leave --quantization out: SGLang reads it from the checkpoint.",
        exit_code=2,
        rank=90,
    ),
    Rule(
        "needs_consent",
        r"contains custom code which must be executed|requires you to execute the .{0,40}file|trust_remote_code=True",
        "This model brings Python code of its own, and SGLang runs that only with your consent.",
        "Read that code first. To allow it, add `-- --trust-remote-code`.",
        exit_code=2,
        rank=75,
    ),
)
