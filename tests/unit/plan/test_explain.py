"""What a plan looks like: whole transcripts at 80 and 40 columns, with and without the characters for it."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.plan import explain, pictures
from llmserve.plan.plan import Flag
from tests.fakes.machines import qwen3_8b, small_gguf
from tests.fakes.plans import GIB, LEDGER, gpu, on_eight, on_the_cpu, qwen3_8b_plan

ON_AN_H100 = """\
qwen3-8b fits on 1 × NVIDIA H100 80GB HBM3 with SGLang: 10 requests of 40,960
tokens at once.

  Engine    SGLang: there is a GPU
  Weights   15.12 GiB bfloat16, from tensor headers
  KV cache  409,600 tokens (401,408 to 417,792), bfloat16; 144.0 KiB a token

GPU 0, NVIDIA H100 80GB HBM3: 79.00 GiB free of 79.65 GiB
  ▒███████████████▚▚▚▞▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░
  ▒  driver and NCCL   0.55 GiB  prior by number of GPUs
  █  weights          15.39 GiB  tensor headers, split over the GPUs
  ▚  CUDA graphs       2.81 GiB  prior by batch and chunk size
  ▞  workspaces        0.62 GiB  attention workspace and logits
  ▓  KV cache         56.25 GiB  409,600 tokens x 147,456 B
  ░  unused            3.38 GiB  what is left

Users at the same time, by the length of their conversations:
  tokens each   4k  8k  16k  32k  40k
  users        100  50   25   12   10
  at least      98  49   24   12    9

Settings and why:
  --mem-fraction-static 0.906  (weights + KV cache) / free memory
  --max-running-requests 256   bounds the request table and the graphs
  --enable-metrics             /metrics answers 404 without it

Arithmetic:
  free before load  = 79.00 - 0.55 = 78.45 GiB
  KV tokens         = (78.45 x 0.906 - 15.39) x 2^30 / 147,456 = 409,600 tokens
  Expected: 409,600 KV tokens, between 401,408 and 417,792 (-2.0% to +2.0%).

Not chosen:
  2 GPUs  one holds the weights and ten full contexts"""

ON_A_PLAIN_TERMINAL = """\
small fits on the CPU with llama.cpp: 4 requests of 8,192 tokens at once.

  Engine    llama.cpp: no usable GPU
  Weights   0.46 GiB q4_k_m, from tensor headers
  KV cache  32,768 tokens, f16; 12.0 KiB a token

Host memory: 12.00 GiB to plan with
  ###==.........................................................................
  #  weights    0.46 GiB  GGUF headers
  =  KV cache   0.38 GiB  32,768 tokens
  .  unused    11.16 GiB  what is left

Users at the same time, by the length of their conversations:
  tokens each  4k  8k  16k  32k
  users         4   4    2    1
  At 4k the bound on running requests decides.
  Beyond 8k the plan has to be made for it: --context 32k.

Settings and why:
  --ctx-size 32768  4 x 8192

Note: The weights are random: the API is real, the answers are noise."""

NARROW = """\
Each of 8 × NVIDIA H100 80GB HBM3: 79.00
GiB free of 79.65 GiB
  ▒███████▚▞▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░
  ▒  driver and NCCL   0.55 GiB
      prior by number of GPUs
"""


def test_a_plan_as_text() -> None:
    assert explain.describe(qwen3_8b_plan(), qwen3_8b(), arithmetic=True) == ON_AN_H100


def test_a_plan_in_ascii() -> None:
    plan = on_the_cpu(model="small", notes=("The weights are random: the API is real, the answers are noise.",))
    text = explain.describe(plan, small_gguf(), look=Look(unicode=False))
    assert text == ON_A_PLAIN_TERMINAL
    assert text.isascii()


@pytest.mark.parametrize("width", [24, 40, 60, 100])
def test_a_narrow_terminal_folds_the_text(width: int) -> None:
    text = explain.describe(on_eight(notes=("A note. " * 20,)), qwen3_8b(), look=Look(width), arithmetic=True)
    assert max(map(len, text.splitlines())) <= width + (8 if width < 40 else 0)  # flags and sizes are not broken
    if width == 40:
        assert NARROW in text


def test_equal_gpus_are_shown_once_and_the_tightest_counts() -> None:
    text = explain.describe(on_eight())
    assert text.count("Each of 8 × NVIDIA H100 80GB HBM3: 79.00 GiB free") == 1
    assert text.count("driver and NCCL") == 1
    shares = (*LEDGER[:-1], replace(LEDGER[-1], size_bytes=LEDGER[-1].size_bytes - GIB // 2))
    tighter = gpu(1, free_bytes=gpu(1).free_bytes - GIB // 2, ledger=shares)
    text = explain.describe(qwen3_8b_plan(gpus=(gpu(0), tighter)))
    assert "Each of 2 × NVIDIA H100 80GB HBM3 (the tightest): 78.50 GiB free" in text


def test_gpus_that_differ_are_shown_apart() -> None:
    shares = (*LEDGER[:-1], replace(LEDGER[-1], size_bytes=0))
    fuller = gpu(1, free_bytes=sum(share.size_bytes for share in shares), ledger=shares)
    text = explain.describe(qwen3_8b_plan(gpus=(gpu(0), fuller)))
    assert "GPU 0, NVIDIA H100 80GB HBM3: 79.00 GiB free" in text
    assert "GPU 1, NVIDIA H100 80GB HBM3: 75.62 GiB free" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tensor_parallel": 8}, "tensor parallel 8"),
        ({"pipeline_parallel": 2, "nodes": 2}, "2 machines with 1 × NVIDIA H100 80GB HBM3 each"),
        ({"data_parallel": 4}, "4 copies that share the requests"),
        ({"attention_data_parallel": 8}, "409,600 tokens in each of 8 pools"),
        ({"weights_basis": "config"}, "computed from config.json"),
        ({"concurrency": 1}, "one request of 40,960 tokens"),
    ],
)
def test_what_is_special_is_said(changes: dict[str, object], says: str) -> None:
    assert says in explain.describe(qwen3_8b_plan(**changes), qwen3_8b(), look=Look(200))


def test_a_download_is_announced() -> None:
    assert "5.00 GiB are not on this disk yet" in explain.describe(
        qwen3_8b_plan(), replace(qwen3_8b(), missing_bytes=5 * GIB)
    )


def test_what_a_stranger_wrote_cannot_steer_the_terminal() -> None:
    plan = qwen3_8b_plan(
        model="a\x1b[31mb", notes=("c\x1b]0;title\x07d",), flags=(Flag(name="--x", value="\x1b[2Jy", reason="z\x9b"),)
    )
    text = explain.describe(plan, qwen3_8b(), look=Look(colour=True))
    for swatch in ("▒", "█", "▚", "▞", "▓", "░"):  # the bar's own colours, and nothing else
        assert swatch in text
    own = ledger.draw([(share.name, share.size_bytes) for share in LEDGER], Look(colour=True))
    for piece in (own[0], *own[1]):
        text = text.replace(piece, "")
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_what_would_make_it_fit_is_listed_with_what_to_type() -> None:
    alternatives = [
        {"what": "A shorter context", "why": "16,384 tokens fit", "options": ["--context 16384"]},
        {"what": "The quantised org/small", "why": "8 GiB instead of 16 GiB", "options": ["org/small"]},
        {"what": "2 × NVIDIA L4", "why": "30,000 tokens fit on 2", "options": []},
    ]
    assert explain.changes(alternatives) == (
        "What would make it fit:\n"
        "  - A shorter context: 16,384 tokens fit\n      add --context 16384\n"
        "  - The quantised org/small: 8 GiB instead of 16 GiB\n      name instead org/small\n"
        "  - 2 × NVIDIA L4: 30,000 tokens fit on 2"
    )
    assert explain.changes([]) == ""


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(4096, "4k"), (131_072, "128k"), (1_048_576, "1M"), (1_010_000, "1,010,000"), (512, "512"), (0, "0")],
)
def test_contexts_are_written_as_the_options_read_them(tokens: int, text: str) -> None:
    assert pictures.short(tokens) == text


@given(sizes=st.lists(st.integers(0, 10**12), max_size=12), width=st.integers(0, 120))
def test_a_bar_is_as_wide_as_it_should_be_and_hides_nothing(sizes: list[int], width: int) -> None:
    cells = ledger.bar(sizes, width)
    there = sum(size > 0 for size in sizes)
    assert len(cells) == len(sizes)
    if there and width >= there:
        assert sum(cells) == width
        assert all((cell > 0) == (size > 0) for cell, size in zip(cells, sizes, strict=True))
        ordered = sorted(zip(sizes, cells, strict=True))
        assert all(one[1] <= other[1] + 1 for one, other in pairwise(ordered))
    else:
        assert sum(cells) == 0


def test_the_look_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "61")
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert Look.of(latin) == Look(width=61, unicode=False, colour=False)

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert Look.of(Terminal()) == Look(width=61, unicode=True, colour=True)
    assert not Look.of(Terminal(), colour=False).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Look.of(Terminal()).colour
