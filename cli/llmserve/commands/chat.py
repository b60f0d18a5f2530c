"""``llmserve chat``: talk to any OpenAI-compatible endpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Header, Model, Profile, Server
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.chat.store import Saved
    from llmserve.endpoint.types import Message as ChatMessage
    from llmserve.output import Output

EXAMPLES = """\b
Examples:
  llmserve chat
  llmserve chat --continue
  llmserve chat -m "Why is the sky blue?"
  git diff | llmserve chat -m "Write a commit message for this."
  llmserve chat --base-url http://gpu-box:8000 --model qwen3 -m hi --json
  llmserve chat -m "A person" --schema person.json
  llmserve chat --jsonl questions.jsonl -o answers.jsonl --concurrency 16
  llmserve chat --mcp "uvx mcp-server-time"

Without --base-url, --profile and OPENAI_BASE_URL, a server that llmserve runs on this machine is asked, else
what answers at the usual ports of SGLang, vLLM, Ollama, llama.cpp and LM Studio."""

SESSIONS_EXAMPLES = """\b
Examples:
  llmserve chat sessions
  llmserve chat sessions --remove 2026-12-01-090000"""

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Message = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="Ask this and leave; piped input follows it, `-` is only that."
    ),
]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="The system prompt.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, metavar="N", help="The longest answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option(min=0.0, metavar="X", help="0 is the most likely text.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the request, as /set.")
]
Continue = Annotated[bool, typer.Option("--continue", "-c", help="Go on with the newest conversation.")]
SessionName = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Go on with this conversation, or begin it.")
]
NoSave = Annotated[bool, typer.Option("--no-save", help="Keep nothing of this conversation.")]
Plain = Annotated[bool, typer.Option("--plain", help="Show Markdown as it was written.")]
Vi = Annotated[bool, typer.Option("--vi", help="vi keys at the prompt.")]
Image = Annotated[
    list[str] | None, typer.Option("--image", metavar="PATH", help="An image that goes with the question.")
]
File = Annotated[list[str] | None, typer.Option("--file", metavar="PATH", help="A text that goes with the question.")]
Schema = Annotated[
    Path | None, typer.Option("--schema", metavar="FILE", help="A JSON Schema: the answer follows it, or exit code 1.")
]
Jsonl = Annotated[str | None, typer.Option("--jsonl", metavar="FILE", help="Answer a file of requests, one a line.")]
OutputFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where the answers go; an interrupted batch goes on there."),
]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, metavar="N", help="Requests of a batch at the same time.")]
Mcp = Annotated[
    list[str] | None, typer.Option("--mcp", metavar="COMMAND", help="Offer the tools of an MCP server to the model.")
]
Tools = Annotated[
    list[str] | None, typer.Option("--tools", metavar="FILE.py", help="Offer the functions of a Python file as tools.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Run the tools that the model calls without asking.")]


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def chat(
    ctx: typer.Context,
    base_url: BaseUrl = None,
    model: Model = None,
    api_key: ApiKey = None,
    server: Server = None,
    profile: Profile = None,
    header: Header = None,
    message: Message = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    set_: Set = None,
    image: Image = None,
    file: File = None,
    continue_: Continue = False,
    session: SessionName = None,
    no_save: NoSave = False,
    plain: Plain = False,
    vi: Vi = False,
    schema: Schema = None,
    jsonl: Jsonl = None,
    output_file: OutputFile = None,
    concurrency: Concurrency = 8,
    mcp: Mcp = None,
    tools: Tools = None,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result | None:
    """Talk to any OpenAI-compatible endpoint: a conversation at the terminal, one answer with -m or a pipe."""
    del json, quiet  # read by Output.from_args
    if ctx.invoked_subcommand:
        return None
    output: Output = ctx.obj
    question = None if jsonl else _question(message, output)
    sampling = _sampling(max_tokens, temperature, set_ or [])
    if output_file and not jsonl:
        raise UsageError("-o goes with --jsonl.", hint="Send stdout into a file: llmserve chat -m ... > FILE")
    form = _schema(schema, sampling) if schema else None
    earlier = _earlier(session, newest=continue_)

    from llmserve.chat.session import Session, choose_model
    from llmserve.endpoint.client import Client

    endpoint = find_endpoint(base_url, api_key, model, server, profile=profile, header=header)
    with Client(endpoint) as client:
        name, note = choose_model(client, endpoint.model)
        notes = (*endpoint.notes, *([note] if note else []))
        if jsonl:
            from llmserve.commands.chat_batch import batch

            return batch(
                client, jsonl, defaults={"model": name, **sampling}, system=system, target=output_file,
                concurrency=concurrency, schema=form, output=output,
            )  # fmt: skip
        talk = Session(client, name, system=system, sampling=sampling)
        offered = [*(mcp or []), *(tools or [])]
        if question is not None:
            from llmserve.commands.chat_once import answer

            return answer(
                talk, _attached(question, image or [], file or []), output, notes, earlier=earlier, name=session,
                plain=plain, schema=form, tools=offered, yes=yes,
            )  # fmt: skip
        from llmserve.commands.chat_terminal import terminal

        return terminal(
            talk, client, output, earlier=earlier, name=session, save=not no_save, plain=plain, vi=vi, tools=offered,
            yes=yes, notes=notes,
        )  # fmt: skip


@app.command("sessions", epilog=SESSIONS_EXAMPLES)
def chat_sessions(
    remove: Annotated[str | None, typer.Option("--remove", metavar="NAME", help="Remove this one.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the conversations that were kept, or remove one."""
    from llmserve.commands.chat_sessions import forget, sessions

    return forget(remove) if remove else sessions()


def _question(message: str | None, output: Output) -> str | None:
    """What to ask: the message and what is piped in. None is the wish for a conversation."""
    piped = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n") if message == "-" else _piped()
    parts = [part for part in (None if message == "-" else message, piped) if part and part.strip()]
    if parts:
        return "\n\n".join(parts)
    if message is None and output.mode != "json" and sys.stdin and sys.stdin.isatty() and output.out.isatty():
        return None
    raise UsageError("There is nothing to ask.", hint='Give a question: llmserve chat -m "..."')


def _piped() -> str:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")


def _sampling(max_tokens: int | None, temperature: float | None, lines: list[str]) -> dict[str, Any]:
    fields = {"max_tokens": max_tokens, "temperature": temperature}
    sampling = {name: value for name, value in fields.items() if value is not None}
    if lines:
        from llmserve.chat.fields import parse

        for line in lines:
            name, equals, value = line.partition("=")
            if not equals:
                raise UsageError(f"--set wants FIELD=VALUE, not {line!r}.", hint="--set top_p=0.9")
            sampling[name] = parse(name, value)
    return sampling


def _schema(path: Path, sampling: dict[str, Any]) -> dict[str, Any]:
    from llmserve.chat.schema import load, response_format

    schema = load(path)
    sampling["response_format"] = response_format(schema)
    return schema


def _earlier(name: str | None, *, newest: bool) -> Saved | None:
    if not (name or newest):
        return None
    if name and newest:
        raise UsageError("--continue and --session name two conversations.", hint="Give one of them.")
    from llmserve.chat import store

    return store.find(name) if name else store.newest()


def _attached(question: str, images: list[str], files: list[str]) -> str | ChatMessage:
    if not (images or files):
        return question
    from llmserve.chat import attachments

    parts = [*map(attachments.image_part, images), *map(attachments.file_part, files)]
    return attachments.question(question, parts)
