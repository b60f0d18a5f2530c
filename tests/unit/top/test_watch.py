"""Watching servers: what is shown of pages that engines wrote, of servers that come, go, hang and fail."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pynvml
import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import NotReadyError
from llmserve.top import view
from llmserve.top.gpus import Gpus, Load, gpus
from llmserve.top.watch import Watch, follow
from llmserve.top.watched import Target, Watched
from tests.fakes.endpoint import FakeEndpoint, Reply, error
from tests.unit.hardware.fake_nvml import FakeNvml, h100

PAGES = Path(__file__).parents[2] / "recordings/metrics"
WIDE = view.Style(100)


def pages(*names: str) -> list[Reply]:
    return [Reply(body=(PAGES / f"{name}.txt").read_bytes()) for name in names]


@pytest.fixture
def sglang() -> Iterator[FakeEndpoint]:
    with FakeEndpoint({"/metrics": pages("sglang-1", "sglang-2", "sglang-3")}) as fake:
        yield fake


def target(fake: FakeEndpoint, name: str = "tiny") -> Target:
    return Target(name=name, url=fake.url, endpoint=lambda: Endpoint(base_url=fake.url), state="ready", uptime=63.0)


def watching(*targets: Target, cards: Gpus | None = None) -> Watch:
    return Watch(lambda: targets, cards or Gpus(None), interval=0.0, patience=60.0)


def test_sglang_in_full(sglang: FakeEndpoint) -> None:
    watch = watching(target(sglang))
    watch.look()
    first = watch.lines(WIDE)
    assert first[0] == f"tiny  ready 1 min 3 s  sglang  {sglang.url}"
    assert any((line.startswith("  TTFT") and line.endswith("so far")) or "so far" in line for line in first)
    watch.look()
    watch.look()
    rows = {line[2:14].strip(): line[15:49].strip() for line in watch.lines(WIDE)[1:]}
    assert list(rows) == [
        "requests", "prompt", "generation", "TTFT", "ITL", "whole answer", "waiting", "KV cache", "prefix cache",
    ]  # fmt: skip
    assert rows["requests"] == "0 running, 0 queued"
    assert rows["TTFT"] == "300 ms / 380 ms / 398 ms"
    assert rows["prefix cache"] == "27% of prompt tokens"
    data = watch.data()["servers"][0]["metrics"]
    assert (data["requests_total"], data["generation_tokens_total"]) == (8, 375)
    assert data["latency_s"]["itl"]["count"] == 297
    assert data["latency_since_start_s"]["itl"]["count"] == 360


def test_llamacpp_tells_less_and_lines_for_the_rest_are_left_out() -> None:
    with FakeEndpoint({"/metrics": pages("llamacpp-1", "llamacpp-2")}) as fake:
        watch = watching(target(fake))
        watch.twice()
        labels = [line[2:14].strip() for line in watch.lines(WIDE)[1:]]
    assert labels == ["requests", "prompt", "generation", "ITL", "prefix cache"]


def test_an_endpoint_without_metrics_says_so() -> None:
    with FakeEndpoint({"/metrics": error(404, "Not Found")}) as fake:
        watch = watching(target(fake))
        watch.look()
    assert watch.fault is not None
    assert "--enable-metrics" in watch.lines(WIDE)[2]
    assert view.line(watch.servers["tiny"])[-1] == "ready: no metrics"


def test_one_that_dies_and_comes_back_is_watched_on(sglang: FakeEndpoint) -> None:
    watched = Watched(target(sglang))
    watched.sample()
    watched.target = Target(name="tiny", url="", endpoint=lambda: Endpoint(base_url="http://127.0.0.1:9/v1"))
    watched.close()
    watched.sample()
    assert watched.fault is not None
    assert watched.fault.code == "connection_refused"
    watched.target = target(sglang)
    watched.sample()
    assert len(watched.samples) == 2
    assert view.line(watched)[-1] == "ready"


def test_one_that_is_not_ready_yet() -> None:
    def refuse() -> Endpoint:
        raise NotReadyError("The server x is starting, not ready.", hint="Watch it.")

    watch = watching(Target(name="x", url="http://x", endpoint=refuse, state="starting (load)"))
    watch.look()
    assert watch.lines(WIDE) == [
        "x  starting (load)  http://x",
        "  The server x is starting, not ready.",
        "  Watch it.",
    ]


def test_a_server_began_anew_while_it_was_watched(sglang: FakeEndpoint) -> None:
    sglang.routes["/metrics"] = pages("sglang-3", "sglang-1")
    watch = watching(target(sglang))
    watch.twice()
    assert any(line.startswith("  restarted") for line in watch.lines(WIDE))
    assert watch.data()["servers"][0]["metrics"]["restarted"]


def test_without_a_terminal_there_is_a_line_for_each_look_until_the_servers_have_gone(sglang: FakeEndpoint) -> None:
    moments: Iterator[Sequence[Target]] = iter([[target(sglang)], [target(sglang)], []])
    watch = Watch(lambda: next(moments), Gpus(None), interval=0.0, patience=60.0)
    watch.look()
    out = io.StringIO()
    follow(watch, out)
    heading, *lines, end = out.getvalue().splitlines()
    assert heading.split("\t")[1:] == list(view.HEADER)
    assert [line.split("\t")[1] for line in lines] == ["tiny", "tiny"]
    assert end.endswith("tiny has ended")


def test_many_servers_and_little_room(sglang: FakeEndpoint) -> None:
    watch = watching(target(sglang, "a"), target(sglang, "b"), target(sglang, "c"))
    watch.look()
    assert [line.split()[0] for line in watch.lines(WIDE, 20)] == ["NAME", "a", "b", "c"]
    assert watch.lines(view.Style(40), 20)[0].split() == list(view.NARROW)
    assert len(watch.lines(WIDE, 60)) > 20


def test_a_narrow_terminal_has_no_history(sglang: FakeEndpoint) -> None:
    watch = watching(target(sglang))
    watch.twice()
    assert not set("▁▂▃▄▅▆▇█") & set("".join(watch.lines(view.Style(50))))
    assert set("▁▂▃▄▅▆▇█") & set("".join(watch.lines(WIDE)))
    assert "".join(watch.lines(view.Style(100, unicode=False))).isascii()


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 5, ""),
        ([0, 0], 5, "▁▁"),
        ([0, 1, 2, 4], 5, "▁▃▅█"),
        ([0, 1, 2, 4], 2, "▅█"),
        ([None, 3, None], 5, " █ "),
        ([1, 2], 0, ""),
        ([0.001, 1000], 5, "▂█"),
    ],
)
def test_histories(values: list[float | None], width: int, bars: str) -> None:
    assert view.spark(values, width) == bars


def test_names_from_strangers_do_not_steer_the_terminal(sglang: FakeEndpoint) -> None:
    body = b'vllm:num_requests_running{model_name="\x1b[2Jevil"} 1\n'
    sglang.routes["/metrics"] = Reply(body=body)
    watch = watching(target(sglang))
    watch.look()
    assert "\x1b" not in watch.lines(WIDE)[0]
    assert "evil" in watch.lines(WIDE)[0]


def test_gpus() -> None:
    busy = h100(1, errors={"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_NOT_SUPPORTED})
    with gpus(FakeNvml(h100(0), busy)) as cards:
        first, second = cards.read()
    assert (first.name, first.utilization, first.power, first.power_limit, first.temperature) == (
        "NVIDIA H100 80GB HBM3", 0.97, 512.0, 700.0, 61,
    )  # fmt: skip
    assert second.power is None
    assert view.loads([first, second], WIDE) == [
        "GPU 0 NVIDIA H100 80GB HBM3  0.59 GiB of 79.65 GiB, 97% busy, 512 of 700 W, 61 °C",
        "GPU 1 NVIDIA H100 80GB HBM3  0.59 GiB of 79.65 GiB, 97% busy, 61 °C",
    ]


def test_no_driver_no_gpus(tmp_path: Path) -> None:
    with gpus(root=tmp_path) as cards:
        assert cards.read() == []
    with gpus(FakeNvml(init_error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)) as cards:
        assert cards.read() == []


def test_only_the_gpus_of_the_servers_are_shown(sglang: FakeEndpoint) -> None:
    mine = Target(name="x", url=sglang.url, endpoint=lambda: Endpoint(base_url=sglang.url), gpus=("GPU-b",))
    watch = watching(mine)
    watch.look()
    watch.loads = [Load(index=0, uuid="GPU-a", name="A"), Load(index=1, uuid="GPU-b", name="B")]
    assert [line for line in watch.lines(WIDE) if line.startswith("GPU")] == ["GPU 1 B  tells nothing"]
