"""Requests under way, from metrics as the engines print them."""

from __future__ import annotations

import pytest

from llmserve.engine import engines
from llmserve.engine.base import Address
from llmserve.engine.load import Load, load, parse

LLAMA = """# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 4
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 2
"""
SGLANG = """# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="a{b}",tp_rank="0"} 3.0
sglang:num_running_reqs{engine_type="unified",model_name="a{b}",tp_rank="1"} 1.0
sglang:num_running_reqs_offline_batch{model_name="x"} 9.0
sglang:num_queue_reqs{engine_type="unified",model_name="x"} 7.0
"""


@pytest.mark.parametrize(
    ("engine", "text", "expected"),
    [("llamacpp", LLAMA, Load(running=4, queued=2)), ("sglang", SGLANG, Load(running=4, queued=7))],
)
def test_the_engines_gauges_are_read_and_summed(engine: str, text: str, expected: Load) -> None:
    assert parse(text, engines()[engine].load_metrics) == expected


@pytest.mark.parametrize("text", ["", "llamacpp:requests_processing 4\n", "<html>"])
def test_what_does_not_tell_is_unknown(text: str) -> None:
    assert parse(text, engines()["llamacpp"].load_metrics) is None


def test_a_server_that_does_not_answer_is_unknown() -> None:
    assert load(Address(host="127.0.0.1", port=1), ("a", "b"), api_key=None) is None
