"""One hub, one cache and the real command between them; what is on the disk is compared with what ought to be there.

A *loss* is a byte that lay on the disk before a run and is sent again by the hub in it. The hub notes which bytes it
sends, and files are of random bytes, so that what is there can be told from holes without asking llmserve.
"""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.hub import FakeHub, Repo
from tests.fakes.hub_cache import blob_name

CHUNK = 65536
SHARD = 1_200_000
REPO = "org/model"
UNIT = 0.02
"""Seconds of the first pause between attempts: a matrix has no time to lose."""
LONG, SHORT = 60.0, 1.5
"""Seconds of silence that end a connection: longer than a busy machine may be silent, and for faults that hang."""
LIMIT = 150
"""Seconds in which a run has to end, on a machine that is busy with ten others."""

Ranges = dict[str, set[tuple[int, int]]]
Process = subprocess.Popen[str]


def files(seed: int = 1) -> dict[str, bytes]:
    """A model in three shards: headers as they should be, and random bytes after them."""
    source = random.Random(seed)
    names = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    shards = {name: _shard(f"layers.{number}", source) for number, name in enumerate(names)}
    index = {"metadata": {}, "weight_map": {f"layers.{number}": name for number, name in enumerate(names)}}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
    return shards | {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": source.randbytes(40_000).hex().encode(),
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    }


def _shard(tensor: str, source: random.Random) -> bytes:
    header = json.dumps({tensor: {"dtype": "U8", "shape": [SHARD], "data_offsets": [0, SHARD]}}).encode()
    return struct.pack("<Q", len(header)) + header + source.randbytes(SHARD)


FILES = files()
SIZE = sum(map(len, FILES.values()))


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@dataclass
class World:
    """``lost`` counts bytes that were fetched although they were there, ``runs`` how often llmserve ran.

    ``torn`` is what may be lost: bytes that a kill caught between their write and their note. ``excused`` were lost
    because a case destroyed the notes themselves, or a server left no choice; they are counted, and told apart.
    """

    home: Path
    content: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    cache: Path = Path()
    lost: int = 0
    excused: int = 0
    torn: int = 0
    runs: int = 0
    stall: float = LONG

    def __post_init__(self) -> None:
        self.cache = self.home / "hub"
        self.hub = FakeHub({REPO: Repo(self.content)})
        self._here: Ranges = {}

    def __enter__(self) -> World:
        self.hub.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.hub.__exit__(*exception)

    @property
    def repository(self) -> Path:
        return self.cache / f"models--{REPO.replace('/', '--')}"

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
        return kept | {
            "HOME": str(self.home), "HF_HUB_CACHE": str(self.cache), "HF_ENDPOINT": self.hub.url,
            "XDG_STATE_HOME": str(self.home / "state"), "XDG_CACHE_HOME": str(self.home / "xdg-cache"),
            "LLMSERVE_CHUNK_BYTES": str(CHUNK), "LLMSERVE_RETRY_SECONDS": str(UNIT),
            "LLMSERVE_STALL_SECONDS": str(self.stall), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONDONTWRITEBYTECODE": "",
        }  # fmt: skip

    def start(self, *args: str, limit: int | None = None) -> Process:
        """``llmserve pull``; ``limit`` is the size that no file may exceed."""
        self._here = self.present()
        self.hub.sent.clear()
        self.runs += 1
        return self._popen([sys.executable, "-m", "llmserve", "pull", REPO, "-y", *args], limit=limit)

    def hf(self) -> Process:
        """The hub's own client."""
        return self._popen([str(Path(sys.executable).with_name("hf")), "download", REPO])

    def _popen(self, argv: list[str], limit: int | None = None) -> Process:
        bounded = ["prlimit", f"--fsize={limit}", *argv] if limit else argv
        return subprocess.Popen(
            bounded, env=self.environment(), cwd=self.home, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def end(self, process: Process, timeout: float = LIMIT) -> Run:
        """Wait for it, and count what it fetched although it was there."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"still at work after {timeout} s: {err[-500:]}") from None
        self.lost += overlap(self._here, self.hub.sent)
        run = Run(process.returncode, out, err)
        assert "Traceback" not in run.err + run.out, run.err
        return run

    def pull(self, *args: str, limit: int | None = None) -> Run:
        return self.end(self.start(*args, limit=limit))

    def killed(self, at: int, number: signal.Signals) -> Run:
        """A run that gets a signal when ``at`` bytes of bodies have been served in all, or at its end."""
        self.torn = max(self.torn, CHUNK)
        return self.end(self.hub.strike(at, number, self.start))

    def complete(self, run: Run) -> None:
        """The run said that all is there, and it is, for every tool that reads this cache."""
        assert run.code == 0, run.err
        self.whole()

    def whole(self) -> None:
        from huggingface_hub import snapshot_download

        commit = self.hub.repos[REPO].commit
        assert (self.repository / "refs" / "main").read_text() == commit
        for name, content in self.content.items():
            link = self.repository / "snapshots" / commit / name
            assert link.is_symlink(), f"{name} is no link"
            assert link.resolve() == (self.repository / "blobs" / blob_name(name, content)).resolve()
            assert link.read_bytes() == content, f"{name} has another content"
        folder = snapshot_download(REPO, cache_dir=self.cache, local_files_only=True)
        assert Path(folder) == (self.repository / "snapshots" / commit)
        assert not [path.name for path in (self.repository / "blobs").iterdir() if "incomplete" in path.name]

    def refused(self, run: Run, *codes: int) -> None:
        """The run ended with one sentence, and left nothing that looks complete and is not."""
        assert run.code in (codes or (1,)), (run.code, run.err)
        assert len(run.sentences) == 1 or run.code == 130, run.err
        self.sound()

    def sound(self) -> None:
        """What stands under a final name has the right content."""
        for name, content in self.content.items():
            link = self.repository / "snapshots" / self.hub.repos[REPO].commit / name
            if link.exists():
                assert link.read_bytes() == content, f"{name} has another content"

    def excuse(self) -> None:
        self.lost, self.excused = 0, self.excused + self.lost

    def again(self) -> None:
        """The same command without the fault."""
        self.hub.faults.all, self.hub.rate = [], None
        self.complete(self.pull())

    def present(self) -> Ranges:
        """What of each file lies on the disk, in its blob or in pieces: the beginnings of chunks."""
        found: Ranges = {}
        blobs = self.repository / "blobs"
        here = {path.name: path for path in blobs.iterdir()} if blobs.is_dir() else {}
        for name, content in self.content.items():
            etag = blob_name(name, content)
            for path in (path for key, path in here.items() if key.startswith(etag)):
                found.setdefault(name, set()).update(_same(path.read_bytes(), content))
        return found


def _same(piece: bytes, content: bytes) -> set[tuple[int, int]]:
    ranges = set()
    for first in range(0, min(len(piece), len(content)), CHUNK):
        end = first + _prefix(piece[first : first + CHUNK], content[first : first + CHUNK])
        if end > first + 2:  # zeros may look like the beginning of a chunk
            ranges.add((first, end))
    return ranges


def _prefix(one: bytes, other: bytes) -> int:
    """How many bytes are the same from the start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def overlap(here: Ranges, sent: list[tuple[str, int, int]]) -> int:
    """Bytes that were sent although they were here."""
    return sum(
        max(0, min(end, has_end) - max(first, has_first))
        for name, first, end in list(sent)
        for has_first, has_end in here.get(name, ())
    )
