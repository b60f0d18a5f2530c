"""Requests from files: conversations, prompts and traces; images and tools."""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64decode
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from llmserve.bench.dataset import Entry, FromFile, arrivals, load
from llmserve.bench.extras import images, tools
from llmserve.bench.lengths import parse_lengths
from llmserve.bench.payload import Form
from llmserve.bench.words import Vocabulary
from llmserve.bench.workload import Synthetic
from llmserve.errors import UsageError

FORM = Form(base_url="http://127.0.0.1:1/v1", api="chat", model="m")


def written(path: Path, text: str) -> Path:
    file = path / "data"
    file.write_text(text)
    return file


def bodies(entries: list[Entry], count: int, **more: Any) -> list[dict[str, Any]]:
    source = FromFile(
        entries=entries, form=FORM, vocabulary=Vocabulary(overhead=5), outputs=parse_lengths("9", "--output"), **more
    )
    return [json.loads(request.payload.partition(b"\r\n\r\n")[2]) for request in islice(source.stream(0), count)]


def test_sharegpt(tmp_path: Path) -> None:
    talk = [{"id": "1", "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Ho."}]}]
    (body,) = bodies(load(written(tmp_path, json.dumps(talk))), 1, repeatable=True)
    assert body["messages"] == [{"role": "user", "content": "Hi?"}]
    assert body["max_tokens"] == 9


def test_own_lines_are_asked_again_and_again(tmp_path: Path) -> None:
    lines = '{"prompt": "one", "output": 3}\n\n{"messages": [{"role": "system", "content": "two"}]}\n'
    asked = bodies(load(written(tmp_path, lines)), 3, repeatable=True)
    assert [body["messages"][0]["content"] for body in asked] == ["one", "two", "one"]
    assert [body["max_tokens"] for body in asked] == [3, 9, 3]


def test_questions_of_a_file_share_their_beginning_in_a_run_but_not_with_the_next(tmp_path: Path) -> None:
    """What a cache kept of the last run must not answer in this one; what the file shares stays shared."""
    system = {"role": "system", "content": "Be brief."}
    lines = [{"messages": [system, {"role": "user", "content": text}]} for text in ("one", "two")]
    entries = load(written(tmp_path, "\n".join(map(json.dumps, lines))))
    first, second = bodies(entries, 2)
    assert first["messages"][0] == second["messages"][0]
    assert first["messages"][0]["content"].endswith(") Be brief.")
    assert first["messages"][1]["content"] == "one"
    assert bodies(entries, 1)[0]["messages"][0] != first["messages"][0]


def test_synthetic_requests_are_other_ones_in_each_stage_and_run_unless_asked(tmp_path: Path) -> None:
    def made(stage: int, **more: Any) -> tuple[list[str], list[int | None]]:
        source = Synthetic(
            form=FORM, vocabulary=Vocabulary(), inputs=parse_lengths("uniform:20:40", "--input"),
            outputs=parse_lengths("4", "--output"), prefix_share=0.5, prefixes=2, **more,
        )  # fmt: skip
        requests = list(islice(source.stream(stage), 12))
        texts = [json.loads(one.payload.partition(b"\r\n\r\n")[2])["messages"][0]["content"] for one in requests]
        return texts, [one.input_tokens for one in requests]

    texts, lengths = made(0)
    assert {len(text.split()) for text in texts} == set(lengths)
    assert len({tuple(text.split()[:15]) for text in texts}) == 2  # the shared beginnings: half of 30 tokens
    assert made(0)[1] == lengths
    assert not set(made(0)[0]) & set(texts)
    assert made(1)[1] != lengths
    assert made(0, repeatable=True) == made(0, repeatable=True)
    kept = made(0, nonce=7)[0]
    assert {text.split()[0] for text in made(1, nonce=7)[0]} == {text.split()[0] for text in kept}


def test_a_mooncake_trace_shares_its_blocks_within_a_run_and_not_with_the_next(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 2000, "input_length": 1100, "output_length": 7, "hash_ids": [1, 2, 3]},
        {"timestamp": 1000, "input_length": 600, "output_length": 5, "hash_ids": [1, 9]},
    ]
    entries = load(written(tmp_path, "\n".join(map(json.dumps, lines))))
    assert list(arrivals(entries, 2.0)) == [0.0, 0.5]
    texts = [body["messages"][0]["content"].split() for body in bodies(entries, 5, once=True)]
    assert [len(text) for text in texts] == [595, 1095]  # in the order of time; five tokens are the template's
    assert texts[0][:512] == texts[1][:512]
    assert texts[0][512:] != texts[1][512:595]
    again = bodies(entries, 1, once=True)[0]["messages"][0]["content"].split()
    assert again[:512] != texts[0][:512]


def test_a_trace_in_seconds(tmp_path: Path) -> None:
    entries = load(written(tmp_path, '{"arrival": 0.5, "input": 20, "output": 4}\n{"arrival": 1.75, "input": 30}'))
    assert list(arrivals(entries, 1.0)) == [0.0, 1.25]
    assert [entry.input_tokens for entry in entries] == [20, 30]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[1]", '{"x": 1}', '{"conversations": []}', '{"input": 0}', '{"input": "x"}']
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        load(written(tmp_path, text))


def test_a_trace_needs_times_and_a_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        arrivals([Entry(input_tokens=3)], 1.0)
    with pytest.raises(UsageError):
        load(tmp_path / "none")


def test_images_are_pictures_and_each_is_another_one() -> None:
    decorate, draw = images("2:16x8"), random.Random(1)
    content = decorate("what?", draw)["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    pictures = [b64decode(part["image_url"]["url"].partition(",")[2]) for part in content[:2]]
    assert pictures[0] != pictures[1]
    start = pictures[0].index(b"IDAT") + 4
    assert len(zlib.decompress(pictures[0][start:])) == 8 * (16 + 1)
    assert pictures[0].startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("text", ["1", "0:8x8", "1:0x8", "x:8x8", "1:8"])
def test_what_is_no_picture_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        images(text)


def test_tools() -> None:
    assert tools(0) == {}
    assert [tool["function"]["name"] for tool in tools(2)["tools"]] == ["lookup_0", "lookup_1"]
