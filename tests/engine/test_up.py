"""``up``, ``ps``, ``logs``, ``chat`` and ``down`` on real engines: the card tells the truth, and keys stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_predicted_kv_tokens_are_what_the_engine_reports(server: dict[str, Any]) -> None:
    predicted, actual = server["plan"]["predicted"], server["facts"]
    assert predicted["kv_tokens"] == 4 * 2048
    assert actual["kv_tokens"] == predicted["kv_tokens"]


def test_the_start_is_remembered_beside_its_prediction(server: dict[str, Any]) -> None:
    newest = server["cli"].json("plan", "--history")["data"]["starts"][0]
    assert (newest["model"], newest["engine"]) == ("tiny", server["engine"])
    assert newest["predicted"] == server["plan"]["predicted"]
    assert newest["measured"]["kv_tokens"] == server["facts"]["kv_tokens"]
    assert newest["errors"]["kv_tokens"] == 0
    assert newest["measured"]["seconds"]["ready"] > 0
    assert newest["machine"].startswith("cpu")


def test_ps_shows_the_server_ready(server: dict[str, Any]) -> None:
    shown = server["cli"].json("ps")["data"]["servers"]
    assert [(one["name"], one["state"], one["url"]) for one in shown] == [("tiny", "ready", server["url"])]


def test_logs_show_the_engines_own_words(server: dict[str, Any]) -> None:
    done = server["cli"].run("logs")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5


def test_chat_finds_the_server_by_itself(server: dict[str, Any]) -> None:
    done = server["cli"].run(
        "chat", "-m", "hello", "--max-tokens", "8", env={"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_chat_takes_the_key_from_the_servers_own_file(locked_server: dict[str, Any]) -> None:
    cli = locked_server["cli"]
    done = cli.run("chat", "-m", "hello", "--max-tokens", "4", env={"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""})
    assert done.returncode == 0, done.stderr


def test_the_key_is_in_no_argument_list_log_record_or_output(locked_server: dict[str, Any]) -> None:
    cli = locked_server["cli"]
    key = cli.env["LLMSERVE_API_KEY"]
    assert all(key not in command for command in cli.processes().values())
    files = [path for path in Path(locked_server["directory"]).rglob("*") if path.is_file()]
    assert [path.name for path in files if key in path.read_text(errors="replace")] == ["api-key"]
    assert (Path(locked_server["directory"]) / "api-key").stat().st_mode & 0o777 == 0o600
    for command in (["ps", "--json"], ["ps"], ["logs"]):
        done = cli.run(*command)
        assert key not in done.stdout + done.stderr
