"""A plan is put into the words of an SGLang: flags are renamed, left out with a note, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.engine.base import Environment
from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.sglang import SGLang
from llmserve.engine.sglang.dialect import PINNED, translate
from llmserve.engine.sglang.vocabulary import KNOWN
from llmserve.errors import UsageError
from llmserve.hardware.machine import Machine
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal
from tests.fakes.machines import gpus, laptop, llama_8b
from tests.fakes.sglang import flags, plan, takes, texts


def test_what_the_engine_takes_stays_as_it_is() -> None:
    given = flags("--tp-size 2", "--enable-metrics")
    assert translate(given, takes("--tp-size", "--enable-metrics", "--other")) == (given, ())
    assert translate(given, None) == (given, ())


def test_a_renamed_flag_keeps_its_value_and_its_reason() -> None:
    found, notes = translate(flags("--cuda-graph-max-bs-decode 32"), takes("--cuda-graph-max-bs"))
    assert found == flags("--cuda-graph-max-bs 32")
    assert notes == ()


@pytest.mark.parametrize(
    ("given", "accepted", "expected"),
    [
        ("--attn-dp-size 8", ("--dp-size", "--enable-dp-attention"), ["--dp-size 8", "--enable-dp-attention"]),
        ("--cuda-graph-backend-decode disabled", ("--disable-cuda-graph",), ["--disable-cuda-graph"]),
        (
            "--cuda-graph-backend-decode disabled",
            ("--disable-cuda-graph", "--disable-decode-cuda-graph"),
            ["--disable-decode-cuda-graph"],
        ),
        ("--cuda-graph-backend-decode full", ("--cuda-graph-max-bs",), []),
        (
            "--cuda-graph-backend-prefill disabled",
            ("--disable-piecewise-cuda-graph", "--cuda-graph-max-bs"),
            ["--disable-piecewise-cuda-graph"],
        ),
        ("--cuda-graph-backend-prefill disabled", ("--cuda-graph-max-bs",), []),
    ],
)
def test_what_older_releases_say_instead(given: str, accepted: tuple[str, ...], expected: list[str]) -> None:
    found, notes = translate(flags(given), takes(*accepted))
    assert texts(found) == expected
    assert notes == ()


def test_an_older_spelling_is_used_only_if_all_of_it_is_taken() -> None:
    with pytest.raises(UsageError, match="takes no --attn-dp-size 8, which the plan needs"):
        translate(flags("--attn-dp-size 8"), takes("--dp-size"))


def test_what_is_not_essential_is_left_out_and_said() -> None:
    found, notes = translate(flags("--tp-size 2", "--enable-metrics"), takes("--tp-size"), who="SGLang 9")
    assert texts(found) == ["--tp-size 2"]
    assert notes == ("SGLang 9 takes no --enable-metrics: there is no /metrics.",)


def test_a_value_that_this_release_does_not_know_counts_as_a_missing_flag() -> None:
    accepted = takes("--tool-call-parser hermes qwen25", "--kv-cache-dtype auto fp8_e5m2")
    found, notes = translate(flags("--tool-call-parser kimi_k3"), accepted)
    assert (found, notes) == (
        (),
        ("This SGLang takes no --tool-call-parser kimi_k3: tool calls arrive as plain text.",),
    )
    with pytest.raises(UsageError, match="--kv-cache-dtype fp8_e4m3, which the plan needs") as caught:
        translate(flags("--kv-cache-dtype fp8_e4m3"), accepted)
    assert caught.value.hint == "It takes: auto, fp8_e5m2."


@pytest.mark.parametrize("name", ["--tp-size", "--mem-fraction-static", "--context-length", "--max-total-tokens"])
def test_an_essential_flag_without_a_spelling_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"SGLang 9 takes no {name} 1, which the plan needs\.") as caught:
        translate(flags(f"{name} 1"), takes("--port"), who="SGLang 9")
    assert "llmserve engine install sglang" in (caught.value.hint or "")


def test_what_the_user_fixed_is_never_left_out() -> None:
    with pytest.raises(UsageError, match="--enable-metrics, which was fixed by you"):
        translate(flags("--enable-metrics", reason=PINNED), takes("--port"))
    with pytest.raises(UsageError, match="--disable-radix-cach, which was fixed by you") as caught:
        translate(flags("--disable-radix-cach", reason=PINNED), takes("--disable-radix-cache"))
    assert caught.value.hint == "Did you mean --disable-radix-cache?"


def test_a_fixed_detail_stays_without_what_it_details() -> None:
    given = (*flags("--enable-hierarchical-cache"), *flags("--hicache-size 8", reason=PINNED))
    found, _ = translate(given, takes("--hicache-size"))
    assert texts(found) == ["--hicache-size 8"]


def test_details_go_with_what_they_detail() -> None:
    given = flags(
        "--hicache-size 8", "--enable-hierarchical-cache", "--speculative-num-steps 3", "--speculative-algorithm NEXTN"
    )
    found, notes = translate(given, takes("--hicache-size", "--speculative-algorithm", "--speculative-num-steps"))
    assert texts(found) == ["--speculative-num-steps 3", "--speculative-algorithm NEXTN"]
    assert notes == ("This SGLang takes no --enable-hierarchical-cache: nothing is cached in host memory.",)
    found, notes = translate(given, takes("--hicache-size", "--enable-hierarchical-cache"))
    assert texts(found) == ["--hicache-size 8", "--enable-hierarchical-cache"]
    assert notes == ("This SGLang takes no --speculative-algorithm NEXTN: no tokens are guessed ahead.",)


def test_two_flags_with_one_older_spelling_are_merged_or_refused() -> None:
    old = takes("--dp-size", "--enable-dp-attention")
    found, _ = translate(flags("--dp-size 8", "--attn-dp-size 8"), old)
    assert texts(found) == ["--dp-size 8", "--enable-dp-attention"]
    with pytest.raises(UsageError, match=r"both --dp-size 2 \(why\) and --dp-size 4 \(why\)"):
        translate(flags("--dp-size 2", "--attn-dp-size 4"), old)


def test_the_known_release_is_not_asked() -> None:
    known = Environment(engine="sglang", version=KNOWN, python="/no/such/python", managed=False)
    given = plan("--tp-size 2", "--attn-dp-size 2", "--tool-call-parser auto", notes=("n",))
    assert SGLang().adapt(given, known) == SGLang().adapt(given, None) == given


@pytest.mark.parametrize(
    "machine", [gpus(1, total_gib=80), gpus(8, total_gib=24), laptop(64, 48)], ids=lambda m: m.name
)
def test_the_planner_speaks_the_known_release(machine: Machine) -> None:
    goal = Goal(fixed=(("schedule_policy", "lpm"), ("disable_radix_cache", "true")))
    found = choose(llama_8b(tool_call_parser="llama3"), machine, goal, engine="sglang", reason="r")
    assert SGLang().adapt(found, None) == found
    fixed = {flag.name: flag.value for flag in found.flags if flag.reason == PINNED}
    assert fixed == {"--schedule-policy": "lpm", "--disable-radix-cache": None}


def test_a_fixed_setting_that_sglang_does_not_have_is_refused_before_anything_is_installed() -> None:
    wrong = replace(plan(), flags=flags("--mem-fraction-statc 0.8", reason=PINNED))
    with pytest.raises(
        UsageError, match=rf"SGLang {KNOWN} takes no --mem-fraction-statc 0.8, which was fixed"
    ) as caught:
        SGLang().adapt(wrong, None)
    assert caught.value.hint == "Did you mean --mem-fraction-static?"


def test_the_embedded_engine_changes_nothing() -> None:
    assert LlamaCpp().adapt(plan("--ctx-size 8"), None) == plan("--ctx-size 8")
