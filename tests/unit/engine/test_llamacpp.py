"""The embedded engine's runner takes llama-server's flags; its log lines become causes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmserve.engine.base import Address, Environment, Serving
from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.llamacpp.runner import FlagError, apply
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal, Plan
from tests.fakes.machines import laptop, small_gguf


def params() -> Any:
    """The attributes of ``xllamacpp.CommonParams`` that matter, with its defaults."""
    return SimpleNamespace(
        model=SimpleNamespace(path=""), cpuparams=SimpleNamespace(n_threads=-1), sampling=SimpleNamespace(), _hidden=1,
        model_alias=set(), hostnames=["127.0.0.1"], port=8080, api_keys=[], n_ctx=0, n_parallel=1, n_predict=-1,
        cache_ram_mib=8192, kv_unified=False, rope_freq_base=0.0, chat_template="",
    )  # fmt: skip


def test_flags_set_what_llama_server_would_set() -> None:
    p = params()
    apply(p, ["--model", "/m.gguf", "--alias", "tiny", "--host", "0.0.0.0", "--port", "1", "-c", "512", "--threads=2"])
    assert (p.model.path, p.model_alias, p.hostnames, p.port) == ("/m.gguf", {"tiny"}, ["0.0.0.0"], 1)
    assert (p.n_ctx, p.cpuparams.n_threads) == (512, 2)


def test_any_attribute_is_a_flag_and_a_later_one_wins() -> None:
    p = params()
    apply(p, ["--n-predict", "64", "--kv-unified", "--rope-freq-base", "1e4", "--n-predict", "8"])
    assert (p.n_predict, p.kv_unified, p.rope_freq_base) == (8, True, 10_000.0)
    apply(p, ["--kv-unified", "false"])
    assert p.kv_unified is False


def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-one\n")
    p = params()
    apply(p, ["--api-key-file", str(tmp_path / "key")])
    assert p.api_keys == ["sk-one"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--nope", "1"], "unrecognized arguments: --nope"),
        (["--_hidden", "1"], "unrecognized arguments"),
        (["stray"], "unrecognized arguments: stray"),
        (["--ctx-size", "many"], "argument --ctx-size: invalid value 'many'"),
        (["--ctx-size"], "argument --ctx-size: expected a value"),
        (["--kv-unified", "perhaps"], "invalid value 'perhaps'"),
        (["--sampling", "x"], "unrecognized arguments: --sampling"),
        (["--api-key-file", "/no/such/file"], "argument --api-key-file"),
    ],
)
def test_what_the_engine_does_not_take_is_named(args: list[str], says: str) -> None:
    with pytest.raises(FlagError, match=says):
        apply(params(), args)


def plan() -> Plan:
    return choose(small_gguf(), laptop(), Goal(), engine="llamacpp", reason="r")


def test_the_command_carries_no_key_and_ends_with_the_users_own_flags() -> None:
    serving = Serving(
        plan=plan(), environment=Environment(engine="llamacpp", version="1", python="/py", managed=False),
        model_path="/m.gguf", served_name="m", address=Address(host="127.0.0.1", port=1), api_key="sk-secret",
        extra=("--n-predict", "8"),
    )  # fmt: skip
    launch = LlamaCpp().launch(serving)
    assert launch.argv[-2:] == ("--n-predict", "8")
    assert "sk-secret" not in " ".join(launch.argv) + repr(launch)
    assert launch.files == {"engine.key": "sk-secret"}


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("error: unrecognized arguments: --foo", "bad_flag", 2),
        ("E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 31999", "port_in_use", 1),
        ("E llama_model_load: error loading model: unknown model architecture: 'nope'", "unsupported_architecture", 6),
        ("E llama_kv_cache: failed to allocate buffer for kv cache", "out_of_memory", 3),
        ("E gguf_init_from_file: failed to open GGUF file '/x' (No such file or directory)", "broken_checkpoint", 6),
    ],
)
def test_log_lines_become_causes(line: str, code: str, exit_code: int) -> None:
    failure = LlamaCpp().failure(line)
    assert failure
    assert (failure.code, failure.exit_code) == (code, exit_code)


def test_an_ordinary_line_is_no_failure() -> None:
    assert LlamaCpp().failure("I srv init: listening on http://127.0.0.1:32001") is None


def test_props_become_facts() -> None:
    facts = LlamaCpp().facts({"default_generation_settings": {"n_ctx": 512}, "total_slots": 2}, "")
    assert (facts.kv_tokens, facts.context, facts.concurrency) == (1024, 512, 2)
    assert LlamaCpp().facts({}, "").kv_tokens is None
