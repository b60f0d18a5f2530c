"""What an SGLang takes: written down for the known release, asked of an older, a newer, a broken one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmserve.engine import recipes
from llmserve.engine.sglang import SGLang, flag_table, vocabulary
from llmserve.engine.sglang.vocabulary import KNOWN
from llmserve.errors import UsageError
from tests.fakes.sglang import OWN, SERVER, FakeSGLang, plan, texts

HELP = """usage: sglang serve [-h] --model-path MODEL_PATH [--tp-size N]
                    [--only-in-usage X]

options:
  -h, --help            show this help message and exit, unlike --quit
  --model-path MODEL_PATH, --model MODEL_PATH
                        The path, see --tokenizer-path
  --new-style, --newer N
  --kv-cache-dtype {auto,fp8_e5m2}
                        Data type
  --targets [{a,b-c} ...], --goals [{a,b-c} ...]
  --enable-x, --no-enable-x
                        Whether --y
"""


def test_help_is_read_as_options_and_their_choices() -> None:
    free: frozenset[str] = frozenset()
    assert vocabulary.read_help(HELP) == {
        "--help": free, "--model-path": free, "--model": free, "--new-style": free, "--newer": free,
        "--kv-cache-dtype": {"auto", "fp8_e5m2"}, "--targets": {"a", "b-c"}, "--goals": {"a", "b-c"},
        "--enable-x": free, "--no-enable-x": free,
    }  # fmt: skip


def test_a_vocabulary_survives_being_written_down() -> None:
    found = vocabulary.read_help(HELP)
    assert vocabulary.parse("# a remark\n" + vocabulary.render(found)) == found


def test_the_table_speaks_of_the_release_that_llmserve_installs() -> None:
    assert recipes.recipe("sglang", "gpu").version == recipes.recipe("sglang", "cpu").version == KNOWN
    said = {name for name, entry in flag_table.table().items() if entry.exists_in(KNOWN)}
    known = vocabulary.known()
    assert said <= set(known)
    assert not {name for name in flag_table.table() if name not in said} & set(known)


def test_every_flag_that_the_table_names_stands_in_it() -> None:
    table = flag_table.table()
    for name, entry in table.items():
        others = [word for other in entry.instead for word in (*other.flags, *other.where)]
        words = [*(word.partition(" ")[0] for word in others), *([entry.part_of] if entry.part_of else [])]
        assert set(words) <= set(table), name
        assert entry.until is None or entry.without is None, "what is gone is not planned"


@pytest.mark.parametrize(
    ("version", "there", "absent"),
    [
        ("0.5.1", "--cuda-graph-max-bs", "--config"),
        ("0.5.10.post1", "--disable-piecewise-cuda-graph", "--cuda-graph-max-bs-decode"),
        ("0.5.14", "--cuda-graph-max-bs", "--attn-dp-size"),
        ("0.5.20", "--cuda-graph-max-bs-decode", "--cuda-graph-max-bs"),
        ("0.5.22", "--attn-dp-size", "--disable-piecewise-cuda-graph"),
        ("0.6.0", "--attn-dp-size", "--cuda-graph-max-bs"),
    ],
)
def test_releases_that_were_looked_at(version: str, there: str, absent: str) -> None:
    found = flag_table.as_of(version, vocabulary.known())
    assert there in found
    assert absent not in found
    assert {"--tp-size", "--log-level"} <= set(found)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    return tmp_path / "cache" / "llmserve" / "sglang-flags"


def test_a_newer_release_is_asked_once_and_the_plan_says_so(tmp_path: Path, cache: Path) -> None:
    fake = FakeSGLang(tmp_path / "env", "0.6.0", *OWN, "--tp-size")
    given = plan("--tp-size 2", "--sleep-on-idle", "--tool-call-parser kimi_k3", notes=("first",))
    for _ in range(2):
        found = SGLang().adapt(given, fake.environment)
        assert texts(found.flags) == ["--tp-size 2"]
        assert found.notes == (
            "first",
            "SGLang 0.6.0 is newer than this llmserve knows (0.5.23): flags were checked against its own --help.",
            "SGLang 0.6.0 takes no --sleep-on-idle: an idle server keeps a core busy.",
            "SGLang 0.6.0 takes no --tool-call-parser kimi_k3: tool calls arrive as plain text.",
        )
    assert fake.calls == ["llmserve_cpu"]
    assert [path.name.partition("-")[0] for path in cache.iterdir()] == ["0.6.0"]


def test_changed_files_are_asked_again(tmp_path: Path) -> None:
    fake = FakeSGLang(tmp_path / "env", "0.6.0")
    first = vocabulary.accepted(fake.environment)
    assert first
    assert "--tp-size" not in first
    (fake.package / "launch_server.py").write_text(SERVER.format(options=(*OWN, "--tp-size"), code=0))
    os.utime(fake.package / "srt" / "server_args.py", (2e9, 2e9))
    second = vocabulary.accepted(fake.environment)
    assert second == {**first, "--tp-size": frozenset()}
    assert len(fake.calls) == 2


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, cache: Path) -> None:
    fake = FakeSGLang(tmp_path / "env", "0.6.0")
    first = vocabulary.accepted(fake.environment)
    for damage in (b"", b"\xff\xfe", b"--port\n"):
        next(cache.iterdir()).write_bytes(damage)
        assert vocabulary.accepted(fake.environment) == first
    assert len(fake.calls) == 4


def test_an_older_release_is_asked_too(tmp_path: Path) -> None:
    options = ("--model-path", "--served-model-name", "--host", "--port", "--cuda-graph-max-bs")
    fake = FakeSGLang(tmp_path / "env", "0.5.2", *options, managed=False)
    found = SGLang().adapt(plan("--cuda-graph-max-bs-decode 8"), fake.environment)
    assert texts(found.flags) == ["--cuda-graph-max-bs 8"]
    assert found.notes == (
        "SGLang 0.5.2 is older than the one llmserve plans for (0.5.23): flags were checked against its own --help.",
        "SGLang 0.5.2 takes no --config: llmserve cannot give it an API key.",
    )
    assert fake.calls == ["none"]


def test_a_release_that_a_launch_cannot_address_is_refused(tmp_path: Path) -> None:
    fake = FakeSGLang(tmp_path / "env", "0.6.0", "--model-path", "--host", "--port")
    with pytest.raises(UsageError, match=r"SGLang 0.6.0 takes no --served-model-name, which the plan needs"):
        SGLang().adapt(plan(), fake.environment)


@pytest.mark.parametrize(
    ("version", "expected", "used"),
    [
        ("0.6.0", ["--attn-dp-size 2"], "the flags of 0.5.23"),
        ("0.5.12", ["--dp-size 2", "--enable-dp-attention"], "those that its releases had"),
    ],
)
@pytest.mark.parametrize("way", ["fails", "hangs", "absent", "silent"])
def test_a_release_that_cannot_be_asked(
    way: str, version: str, expected: list[str], used: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSGLang(tmp_path / "env", version, code=3 if way == "fails" else 0)
    if way == "hangs":
        (fake.package / "launch_server.py").write_text("import time; time.sleep(60)")
        monkeypatch.setattr(vocabulary, "_PATIENCE", 0.3)
    if way == "silent":
        (fake.package / "launch_server.py").write_text("")
    if way == "absent":
        Path(fake.environment.python).unlink()
    found = SGLang().adapt(plan("--attn-dp-size 2"), fake.environment)
    assert texts(found.flags) == expected
    assert found.notes == (f"SGLang {version} could not be asked for its flags; {used} are used.",)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = vocabulary.accepted(FakeSGLang(tmp_path / "env", "0.6.0").environment)
    assert found
    assert "--model-path" in found
