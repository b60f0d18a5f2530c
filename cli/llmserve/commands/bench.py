"""``llmserve bench``: load any OpenAI-compatible endpoint, and prove the figures."""

from __future__ import annotations

import json as json_text
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Header, Model, Profile, Server
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.endpoint.endpoint import Endpoint

EXAMPLES = """Examples:

\b
  llmserve bench                                          how many users, and what limits (a minute)
  llmserve bench -c 8                                     8 users for 30 seconds
  llmserve bench --sweep --slo "ttft:p95<1s" --html report.html
  llmserve bench --ab http://old:8000 http://new:30000 -c 16
  llmserve bench --gpu-hour 2.5 --price-in 0.15 --price-out 0.6
  llmserve bench --base-url http://gpu-box:8000 -c 64 -n 512
  llmserve bench --rate 20 --duration 60 --input lognormal:800:400 --output 200
  llmserve bench -c 32 --slo "ttft:p99<500ms,itl:p95<50ms" --fail
  llmserve bench --rate 50 --arrival gamma:2 --max-concurrency 128 --json
  llmserve bench --stages c=1/20s,c=8/30s,c=64/30s
  llmserve bench --api embeddings --input uniform:50:500 -n 1000
  llmserve bench compare before.json after.json vllm.json --html compare.html
"""

COMPARE_EXAMPLES = """Examples:

\b
  llmserve bench compare before.json after.json
  llmserve bench compare ours.json vllm.json sglang.jsonl --md table.md

Reads what `llmserve bench --save FILE` or --json wrote, `vllm bench serve --save-result`, and the --output-file of
`python -m sglang.benchmark.serving`. Ratios are to the first.
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def bench(
    ctx: typer.Context,
    base_url: BaseUrl = None,
    model: Model = None,
    api_key: ApiKey = None,
    server: Server = None,
    profile: Profile = None,
    header: Header = None,
    api: Annotated[str, typer.Option(metavar="NAME", help="chat, completions, embeddings or responses.")] = "chat",
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, help="Users that ask at a time; the most of --sweep.")
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests", "-n", min=1, help="Requests in all.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="Send for this long.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Requests per second, whatever the answers do.")] = None,
    arrival: Annotated[str, typer.Option(help="With --rate: poisson, constant, or gamma:CV.")] = "poisson",
    ramp_to: Annotated[float | None, typer.Option(min=0.001, help="With --rate: the rate at the end.")] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="FILE", help="Replay arrivals and lengths: Mooncake, JSONL.")
    ] = None,
    trace_speed: Annotated[float, typer.Option(min=0.001, help="Replay so many times as fast.")] = 1.0,
    dataset: Annotated[str | None, typer.Option(metavar="FILE", help="Ask what stands here: ShareGPT, JSONL.")] = None,
    images: Annotated[str | None, typer.Option(metavar="N:WxH", help="Images in each request: 1:512x512.")] = None,
    tools: Annotated[int, typer.Option(min=0, metavar="N", help="Tools that each request offers.")] = 0,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="With --rate: the most in flight.")] = None,
    inputs: Annotated[str, typer.Option("--input", metavar="LENGTH", help="512, uniform:A:B, normal:M:SD …")] = "512",
    outputs: Annotated[str, typer.Option("--output", metavar="LENGTH", help="The same for answers.")] = "128",
    prefix_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of each input that is shared.")] = 0.0,
    prefix_count: Annotated[int, typer.Option(min=1, help="How many different shared beginnings.")] = 1,
    no_cache_bust: Annotated[bool, typer.Option("--no-cache-bust", help="Ask the same in every run.")] = False,
    turns: Annotated[int, typer.Option(min=1, help="Questions in a session.")] = 1,
    think: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="Pause between them.")] = 0.0,
    warmup: Annotated[int | None, typer.Option(min=0, metavar="N", help="Requests before the clock starts.")] = None,
    slo: Annotated[str | None, typer.Option(metavar="GOALS", help="ttft:p99<500ms,itl:p95<50ms")] = None,
    fail: Annotated[
        bool, typer.Option("--fail", help="Exit code 8 if a goal is missed or the run is INVALID.")
    ] = False,
    percentiles: Annotated[str | None, typer.Option(metavar="P,P", help="More percentiles: 75,99.9")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="The most for one answer.")] = 300.0,
    stages: Annotated[
        str | None, typer.Option(metavar="LIST", help="Levels of load: c=1/20s,c=8/30s/500,rate=2..20/60s")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Of the client; else as many as it takes.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Search for the most users within --slo; with --rate, the highest rate.")
    ] = False,
    ab: Annotated[
        tuple[str, str] | None, typer.Option("--ab", metavar="URL_A URL_B", help="Load two endpoints in turns.")
    ] = None,
    gpu_hour: Annotated[float | None, typer.Option(min=0.0, metavar="PRICE", help="Of one GPU (or machine).")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="That the server uses; else what is known of it.")] = None,
    price_in: Annotated[
        float | None, typer.Option(min=0.0, metavar="PRICE", help="Hosted, a million tokens in.")
    ] = None,
    price_out: Annotated[float | None, typer.Option(min=0.0, metavar="PRICE", help="And a million out.")] = None,
    seed: Annotated[int, typer.Option(help="Of lengths and arrivals.")] = 0,
    no_ignore_eos: Annotated[bool, typer.Option("--no-ignore-eos", help="Let answers end by themselves.")] = False,
    extra: Annotated[str | None, typer.Option(metavar="JSON", help="Fields for every request's body.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="FILE", help="A line per request, or .parquet.")] = None,
    save: Annotated[str | None, typer.Option(metavar="FILE", help="Write the run as JSON, for compare.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figures for a spreadsheet.")] = None,
    md: Annotated[str | None, typer.Option(metavar="FILE", help="Write them as Markdown.")] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one page with plots.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Load a public address without asking.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of --json's data.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result | None:
    """Measure an OpenAI-compatible endpoint under load. The report says whether its own figures can be believed.

    Alone, it finds out within a minute how many users the endpoint serves and what limits it. With a load (-c, --rate,
    --stages …) but without --requests and --duration it sends for 30 seconds. Lengths are tokens as the server counts
    them.
    """
    if ctx.invoked_subcommand:
        return None
    if schema:
        return _schema()
    alone = not any((concurrency, requests, duration, rate, trace, stages, sweep, ab))
    _check_wishes(sweep=sweep, ab=ab, trace=trace, stages=stages, named=base_url or server or profile, rows=rows)
    seconds, number = duration, requests
    if requests is None and duration is None and not trace and not stages:
        duration = 60.0 if ab else 30.0
    _check_shape(rate=rate, ramp_to=ramp_to, trace=trace, dataset=dataset, duration=duration, cap=max_concurrency,
                 stages=stages)  # fmt: skip

    from llmserve.bench.lengths import parse_lengths
    from llmserve.bench.payload import APIS
    from llmserve.bench.settings import Settings

    if api not in APIS:
        raise UsageError(f"--api {api!r} is unknown.", hint=f"Use one of {', '.join(APIS)}.")
    settings = Settings(
        api=api, concurrency=concurrency or (MOST_USERS if sweep else QUICK_USERS if alone else 8),
        requests=requests, duration_s=duration, rate=rate, arrival=arrival,
        ramp_to=ramp_to, trace=Path(trace) if trace else None, trace_speed=trace_speed, images=images,
        dataset=Path(dataset) if dataset else None, connections=max_concurrency,
        inputs=parse_lengths(inputs, "--input"), warmup=warmup,
        outputs=parse_lengths(outputs, "--output"), prefix_share=prefix_share, prefixes=prefix_count,
        repeatable=no_cache_bust, turns=turns, think_s=think, seed=seed, timeout_s=timeout,
        ignore_eos=not no_ignore_eos, extra={**_offered(tools), **_object(extra)},
        slo=slo, percentiles=_numbers(percentiles), processes=processes,
    ).with_stages(stages)  # fmt: skip
    second = None
    if ab:
        base_url, second = ab[0], _second(ab[1], model)
    endpoint = find_endpoint(base_url, api_key, model, server, profile=profile, header=header)

    from urllib.parse import urlsplit

    from llmserve.bench import session
    from llmserve.bench.cost import Prices
    from llmserve.bench.facts import without_secrets
    from llmserve.bench.files import Files
    from llmserve.bench.survey import Quest

    quest = None
    if alone:
        if not yes and not session.is_near(urlsplit(endpoint.base_url).hostname or ""):
            settings = replace(settings, concurrency=session.QUIETLY)
        quest = Quest(most=settings.concurrency, seconds=4.0, budget_s=45.0)
    elif sweep:
        quest = Quest(most=settings.concurrency, seconds=seconds or 10.0, requests=number, start_rate=rate)
    listed = endpoint.price
    wishes = session.Wishes(
        quest=quest, second=second, fail=fail, yes=yes,
        files=Files(**{name: Path(value) if value else None for name, value in
                       (("rows", rows), ("save", save), ("csv", csv), ("md", md), ("html", html))}),
        prices=Prices(
            gpu_hour=gpu_hour, gpus=gpus, input=price_in if price_in is not None or not listed else listed.prompt,
            output=price_out if price_out is not None or not listed else listed.answer,
        ),
    )  # fmt: skip
    shown = {name: value for name, value in ctx.params.items() if name not in _UNSHOWN and value is not None}
    if extra:
        shown["extra"] = without_secrets(_object(extra))
    return session.run(endpoint, settings, output=ctx.obj, shown=shown, wishes=wishes)


@app.command(epilog=COMPARE_EXAMPLES)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Saved runs; the first is compared with.")],
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figures for a spreadsheet.")] = None,
    md: Annotated[str | None, typer.Option(metavar="FILE", help="Write them as Markdown.")] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one page with plots.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Put saved runs side by side: our own, those of vllm bench serve, and those of SGLang's benchmark."""
    from dataclasses import asdict

    from llmserve.bench.compare import read
    from llmserve.bench.files import Files
    from llmserve.output.bench_search import side_by_side

    files = Files(
        **{name: Path(value) if value else None for name, value in (("csv", csv), ("md", md), ("html", html))}
    )
    files.check()
    entries = [entry for path in runs for entry in read(path)]
    invalid = tuple(f"{one.label} is INVALID: {'; '.join(one.reasons)}." for one in entries if one.valid is False)
    unlike = len({(one.model, one.load) for one in entries}) > 1
    notes = ("These runs differ in model or load: a ratio is not that of the engines alone.",) if unlike else ()
    data = {"schema": "bench-compare-1", "runs": [asdict(one) for one in entries]}
    written = files.write_entries(entries, data)
    loads = "\n".join(f"{one.label}: {one.model}, {one.load}, {one.engine or one.tool}" for one in entries)
    return Result(data=data, human=f"{loads}\n\n{side_by_side(entries)}", messages=(*invalid, *notes, *written))


MOST_USERS = 1024
QUICK_USERS = 256
AGAINST_KEY = "OPENAI_AGAINST_KEY"


def _second(url: str, model: str | None) -> Endpoint:
    """The second endpoint of --ab. Its key is in OPENAI_AGAINST_KEY: the key of the first is none of its business."""
    import os

    from llmserve.endpoint.find import find

    return find(url, os.environ.get(AGAINST_KEY), model, environ={})


def _check_wishes(
    *, sweep: bool, ab: tuple[str, str] | None, trace: str | None, stages: str | None, named: str | None,
    rows: str | None,
) -> None:  # fmt: skip
    if sweep and (ab or trace or stages):
        raise UsageError("--sweep chooses the loads itself.", hint="Leave --ab, --trace and --stages out.")
    if ab and (trace or stages or named or rows):
        raise UsageError(
            "--ab names both endpoints, and loads both alike in short blocks.",
            hint="Leave --base-url, --server, --profile, --trace, --stages and --rows out.",
        )


_UNSHOWN = ("api_key", "header", "json", "quiet", "yes", "schema")


def _check_shape(
    *, rate: float | None, ramp_to: float | None, trace: str | None, dataset: str | None, duration: float | None,
    cap: int | None, stages: str | None,
) -> None:  # fmt: skip
    if stages and (trace or rate is not None):
        raise UsageError("--stages say what the load is.", hint="Leave --rate and --trace out.")
    if cap and rate is None and not trace and not stages:
        raise UsageError("--max-concurrency goes with --rate.", hint="Without a rate, --concurrency is the cap.")
    if ramp_to and (rate is None or not duration):
        raise UsageError("--ramp-to needs --rate and --duration.", hint="Try: --rate 1 --ramp-to 20 --duration 60")
    if trace and (rate is not None or dataset):
        raise UsageError("A trace brings its own arrivals and requests.", hint="Leave --rate and --dataset out.")


def _offered(tools: int) -> dict[str, Any]:
    if not tools:
        return {}
    from llmserve.bench.extras import tools as offered

    return offered(tools)


def _object(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json_text.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"--extra {text!r} is no JSON object.", hint="""Try: --extra '{"temperature": 0}'""")
    return value


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        found = (-1.0,)
    if any(not 0 < one < 100 for one in found):
        raise UsageError(f"--percentiles {text!r} is no list of percentiles.", hint="Try: --percentiles 75,99.9")
    return found


def _schema() -> Result:
    from llmserve import paths
    from llmserve.bench.records import SCHEMA_VERSION

    text = (paths.templates_dir() / "schemas" / f"bench-{SCHEMA_VERSION}.json").read_text(encoding="utf-8")
    return Result(data=json_text.loads(text), human=text, quiet=text)
