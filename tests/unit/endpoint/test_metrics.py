"""Pages of metrics, as SGLang 0.5.23 and llama.cpp wrote them here and as vLLM's source has them, in common names."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.metrics import Histogram, Sample, Source, read
from llmserve.endpoint.metrics.reading import UnknownMetricsError
from llmserve.errors import LlmserveError, NeedsAccessError
from tests.fakes.endpoint import FakeEndpoint, Reply, error

PAGES = Path(__file__).parents[2] / "recordings/metrics"


def page(name: str) -> str:
    return (PAGES / f"{name}.txt").read_text(encoding="utf-8")


def recorded(name: str, at: float = 0.0) -> Sample:
    return read(page(name), at)


def test_sglang() -> None:
    sample = recorded("sglang-1")
    assert (sample.engine, sample.models) == ("sglang", ("tiny",))
    assert (sample.running, sample.queued, sample.kv_usage) == (0, 0, 0)
    assert sample.counters == {
        "requests": 5, "prompt_tokens": 68, "generation_tokens": 75, "prompt_work": 68, "generation_work": 72,
        "cache_hits": 27, "cache_queries": 68,
    }  # fmt: skip
    assert {name: found.count for name, found in sample.histograms.items()} == {
        "ttft": 5, "itl": 63, "tpot": 4, "e2e": 5, "queue": 5,
    }  # fmt: skip


def test_sglang_between_two_samples() -> None:
    first, second, third = (recorded(f"sglang-{number}", at=2.0 * number) for number in (1, 2, 3))
    begun, done = second.since(first), third.since(second)
    assert not begun.reset
    assert second.running == 1
    assert (begun.prompt_rate, begun.generation_rate) == ((18 + 27) / 2, 15 / 2)
    assert begun.increase("generation_tokens") == 0, "counted when a request ends"
    assert begun.cache_hit_rate == pytest.approx(12 / 45)
    assert (done.increase("requests"), done.increase("generation_tokens")) == (3, 300)
    itl = done.histogram("itl")
    assert itl is not None
    assert itl.count == 285
    assert itl.mean == done.mean_itl == pytest.approx(0.161, abs=0.001)
    assert itl.quantile(0.5) == pytest.approx(0.137, abs=0.001)
    assert done.cache_hit_rate is None, "nothing was looked up"


def test_llamacpp_has_counters_and_no_histograms() -> None:
    first, second = recorded("llamacpp-1", 10.0), recorded("llamacpp-2", 12.0)
    window = second.since(first)
    assert (second.engine, second.kv_usage, second.histograms) == ("llamacpp", None, {})
    assert window.generation_rate == 1500 / 2
    assert window.prompt_rate == (97 - 52) / 2
    assert window.cache_hit_rate == pytest.approx(32 / 45)
    assert window.mean_itl == pytest.approx((22.2576 - 14.325) / 1500)
    assert window.histogram("ttft") is None


VLLM = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/m"} 3.0
vllm:num_requests_running{engine="1",model_name="org/m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="org/m"} 2.0
vllm:num_requests_waiting{engine="1",model_name="org/m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/m"} 0.75
vllm:prompt_tokens_total{engine="0",model_name="org/m"} 1000.0
vllm:prompt_tokens_total{engine="1",model_name="org/m"} 1e+03
vllm:generation_tokens_total{engine="0",model_name="org/m"} 50.0
vllm:prefix_cache_queries_total{engine="0",model_name="org/m"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="org/m"} 400.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="org/m"} 7.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="org/m"} 2.0
vllm:num_preemptions_total{engine="0",model_name="org/m"} 1.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.01",model_name="org/m"} 8.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="org/m"} 10.0
vllm:inter_token_latency_seconds_bucket{engine="1",le="0.01",model_name="org/m"} 10.0
vllm:inter_token_latency_seconds_bucket{engine="1",le="+Inf",model_name="org/m"} 10.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="org/m"} 0.1
vllm:inter_token_latency_seconds_sum{engine="1",model_name="org/m"} 0.05
"""


def test_vllm_with_two_engines() -> None:
    sample = read(VLLM, 0.0)
    assert (sample.engine, sample.models, sample.started) == ("vllm", ("org/m",), 1.7e9)
    assert (sample.running, sample.queued, sample.kv_usage) == (7, 2, 0.5)
    assert sample.counters["prompt_tokens"] == sample.counters["prompt_work"] == 2000
    assert (sample.counters["requests"], sample.counters["preemptions"]) == (9, 1)
    itl = sample.histograms["itl"]
    assert (itl.count, itl.counts[0]) == (20, 18)
    assert itl.total == pytest.approx(0.15)


def test_an_older_vllm() -> None:
    old = VLLM.replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc").replace(
        "vllm:inter_token_latency", "vllm:time_per_output_token"
    )
    assert read(old, 0.0) == read(VLLM, 0.0)


def test_processes_that_tell_the_same_count_once_and_data_parallel_ones_are_added() -> None:
    ranks = "\n".join(
        f'sglang:num_running_reqs{{dp_rank="{dp}",tp_rank="{2 * dp + tp}",model_name="m"}} {5 + dp}'
        for dp in (0, 1)
        for tp in (0, 1)
    )
    assert read(ranks, 0.0).running == 5 + 6


def test_priorities_are_no_further_requests() -> None:
    lines = [f'sglang:num_queue_reqs{{priority="{name}"}} {value}' for name, value in (("", 7), ("1", 3), ("2", 4))]
    assert read("\n".join(lines), 0.0).queued == 7


def test_a_gauge_that_is_no_number_is_not_told() -> None:
    assert read("vllm:kv_cache_usage_perc NaN\nvllm:num_requests_running 1", 0.0).kv_usage is None


def counted(value: float, at: float, *, started: float = 100.0) -> Sample:
    text = f"process_start_time_seconds {started}\nvllm:generation_tokens_total {value}\n"
    text += f'vllm:e2e_request_latency_seconds_bucket{{le="1"}} {value}\n'
    text += f'vllm:e2e_request_latency_seconds_bucket{{le="+Inf"}} {value}\n'
    return read(text, at)


@pytest.mark.parametrize("later", [counted(30, 2.0), counted(130, 2.0, started=500.0)])
def test_a_server_that_began_anew_is_counted_from_its_start(later: Sample) -> None:
    window = later.since(counted(100, 1.0))
    assert window.reset
    assert window.increase("generation_tokens") == later.counters["generation_tokens"]
    whole = window.histogram("e2e")
    assert whole is not None
    assert whole.count == later.counters["generation_tokens"]


def test_no_time_no_rate() -> None:
    assert counted(5, 1.0).since(counted(2, 1.0)).generation_rate is None


def test_a_rounded_counter_that_falls_a_little_is_no_new_start() -> None:
    def llama(decodes: int, busy: float) -> Sample:
        return read(f"llamacpp:n_decode_total {decodes}\nllamacpp:n_busy_slots_per_decode {busy}", decodes)

    window = llama(1001, 1.23456).since(llama(1000, 1.23999))
    assert not window.reset
    assert window.generation_rate == 0


@pytest.mark.parametrize("text", ["", "<html>\n</html>", "# only a comment\n", "name", 'name{a="1} 2', "name 1 2 3 4"])
def test_what_is_no_page_of_metrics(text: str) -> None:
    with pytest.raises(ValueError, match="no sample"):
        read(text, 0.0)


def test_metrics_of_somebody_else() -> None:
    with pytest.raises(UnknownMetricsError):
        read("go_goroutines 12\n", 0.0)


def test_percentiles_are_interpolated_within_a_bucket() -> None:
    found = Histogram.of({1.0: 10, 2.0: 20, 4.0: 90, math.inf: 100}, total=300)
    assert found is not None
    assert [found.quantile(q) for q in (0.05, 0.1, 0.15, 0.2, 0.55, 0.9)] == [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
    assert (found.quantile(0.99), found.exceeds(0.99), found.exceeds(0.9)) == (4.0, True, False)
    assert found.mean == 3.0


def test_a_histogram_without_observations_has_no_percentiles() -> None:
    empty = Histogram.of({1.0: 0, math.inf: 0}, total=0)
    assert empty is not None
    assert (empty.quantile(0.5), empty.mean, empty.exceeds(0.5)) == (None, None, False)
    assert Histogram.of({}, 0) is None
    endless = Histogram.of({math.inf: 3}, total=3)
    assert endless is not None
    assert (endless.quantile(0.5), endless.exceeds(0.5)) == (None, True)


def serving(path: str, *replies: Reply) -> FakeEndpoint:
    return FakeEndpoint({path: list(replies)})


METRICS = Reply(body=VLLM.encode())


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/metrics", "/v1"),
        ("/metrics", ""),
        ("/metrics", "/metrics"),
        ("/proxy/metrics", "/proxy/v1"),
        ("/metrics", "/proxy/v1"),
    ],
)
def test_where_the_page_is(path: str, base: str) -> None:
    with serving(path, METRICS) as fake, Source(Endpoint(base_url=fake.host + base)) as source:
        assert source.sample().engine == source.sample().engine == "vllm"
        assert fake.requests[-1].path == path


def refusal(*replies: Reply, key: str | None = None, then: Callable[[], None] = lambda: None) -> LlmserveError:
    endpoint = {"api_key": key, "key_origin": "--api-key"} if key else {}
    with serving("/metrics", *replies) as fake, Source(Endpoint(base_url=fake.url, **endpoint)) as source:  # type: ignore[arg-type]
        then()
        with pytest.raises(LlmserveError) as caught:
            source.sample()
    return caught.value


def test_no_page_of_metrics() -> None:
    fault = refusal(error(404, "Not Found"))
    assert fault.code == "no_metrics"
    assert "--enable-metrics" in str(fault.hint)


def test_a_page_that_is_none() -> None:
    assert refusal(Reply(body=b"<html>")).code == "no_metrics"
    assert refusal(Reply(body=b"go_goroutines 1\n")).code == "no_metrics"


def test_a_key_that_is_refused_is_no_missing_page() -> None:
    assert isinstance(refusal(error(401, "Unauthorized")), NeedsAccessError)


def test_a_server_that_fails_is_no_missing_page() -> None:
    assert refusal(error(500, "boom")).code == "server_error"


def test_nobody_there() -> None:
    with serving("/metrics", METRICS) as fake:
        url = fake.url
    with Source(Endpoint(base_url=url)) as source, pytest.raises(LlmserveError) as caught:
        source.sample()
    assert caught.value.code == "connection_refused"
