"""The embedded engine's runner takes llama-server's flags; its log lines become causes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmserve.engine.base import Address, Environment, Serving
from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.llamacpp.runner import FlagError, apply, start
from tests.fakes.plans import on_the_cpu


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


def test_the_command_carries_no_key_and_ends_with_the_users_own_flags() -> None:
    serving = Serving(
        plan=on_the_cpu(), environment=Environment(engine="llamacpp", version="1", python="/py", managed=False),
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


PROPS = {"default_generation_settings": {"n_ctx": 512}, "total_slots": 2}


def test_props_and_a_recorded_log_become_facts() -> None:
    """16 numbers for keys and for values, 2 heads, 2 layers, 2 bytes: 256 B for each of 1,024 tokens."""
    facts = LlamaCpp().facts(PROPS, Path("tests/recordings/llamacpp/start.log").read_text(encoding="utf-8"))
    assert (facts.kv_tokens, facts.context, facts.concurrency) == (1024, 512, 2)
    assert facts.kv_bytes == 1024 * 256
    assert facts.weight_bytes == int(0.44 * 1024**2)
    assert facts.seconds == {"load": 0.007}


def test_memory_of_all_devices_and_kinds_adds_up() -> None:
    log = """\
0.01.000.000 I load_tensors:        CUDA0 model buffer size =  4000.50 MiB
0.01.000.000 I load_tensors:   CPU_Mapped model buffer size =   100.25 MiB
0.01.000.000 I llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB
0.01.000.000 I llama_memory_recurrent:      CUDA0 RS buffer size =    64.00 MiB
0.01.000.000 I sched_reserve:      CUDA0 compute buffer size =   300.00 MiB
"""
    facts = LlamaCpp().facts({}, log)
    assert (facts.weight_bytes, facts.kv_bytes) == (int(4100.75 * 1024**2), 576 * 1024**2)
    assert facts.seconds is None


def test_slots_that_share_one_cache_have_its_tokens_once() -> None:
    line = "0.00.010.463 I srv    load_model: initializing, n_slots = 2, n_ctx_slot = 512, kv_unified = 'true'"
    assert LlamaCpp().facts(PROPS, line).kv_tokens == 512


@pytest.mark.parametrize("info", [{}, {"default_generation_settings": "x", "total_slots": True}])
def test_an_engine_that_says_nothing_has_no_facts(info: dict[str, object]) -> None:
    assert set(vars(LlamaCpp().facts(info, "KV buffer size = 1.2.3 MiB")).values()) == {None}


class FakeWheel:
    """``xllamacpp`` as far as starting goes; ``built`` is how loud it was then."""

    def __init__(self, shared_object: str) -> None:
        self.xllamacpp = SimpleNamespace(__file__=shared_object)
        self.built: list[int] = []

    def Server(self, params: Any) -> str:  # noqa: N802 - the wheel's name
        self.built.append(params.verbosity)
        return "a server"


def test_sizes_are_logged_at_the_start_and_requests_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[int] = []
    library = SimpleNamespace(_Z30common_log_set_verbosity_tholdi=later.append)
    monkeypatch.setattr("ctypes.CDLL", lambda path: library)
    wheel = FakeWheel("/wheel.so")
    for wanted in (3, 5):
        assert start(wheel, SimpleNamespace(verbosity=wanted)) == "a server"
    assert (wheel.built, later) == ([4, 5], [3, 5])


@pytest.mark.parametrize("shared_object", ["/no/such/library.so", "tests/recordings/llamacpp/start.log"])
def test_a_wheel_whose_verbosity_cannot_be_lowered_starts_as_quiet_as_ever(shared_object: str) -> None:
    wheel = FakeWheel(shared_object)
    start(wheel, SimpleNamespace(verbosity=3))
    assert wheel.built == [3]
