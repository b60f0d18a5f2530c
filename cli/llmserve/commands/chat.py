"""``llmserve chat``: talk to any OpenAI-compatible endpoint."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Header, Model, Profile, Server
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.chat.session import Session
    from llmserve.output import Output

EXAMPLES = """\b
Examples:
  llmserve chat
  llmserve chat -m "Why is the sky blue?"
  git diff | llmserve chat -m "Write a commit message for this."
  llmserve chat --base-url http://gpu-box:8000 --model qwen3 -m hi --json

Without --base-url, --profile and OPENAI_BASE_URL, a server that llmserve runs on this machine is asked, else
what answers at the usual ports of SGLang, vLLM, Ollama, llama.cpp and LM Studio."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Message = Annotated[
    str | None, typer.Option("--message", "-m", metavar="TEXT", help="Ask this and leave; piped input follows it.")
]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="The system prompt.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, metavar="N", help="The longest answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option(min=0.0, metavar="X", help="0 is the most likely text.")]


@app.command(epilog=EXAMPLES)
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
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Talk to any OpenAI-compatible endpoint: a conversation at the terminal, one answer with -m or a pipe."""
    del json, quiet  # read by Output.from_args
    output: Output = ctx.obj
    question = _question(message, output)

    from llmserve.chat.session import Session, choose_model
    from llmserve.endpoint.client import Client

    endpoint = find_endpoint(base_url, api_key, model, server, profile=profile, header=header)
    with Client(endpoint) as client:
        name, note = choose_model(client, endpoint.model)
        notes = (*endpoint.notes, *([note] if note else []))
        session = Session(client, name, system=system, sampling=_sampling(max_tokens, temperature))
        return _converse(session, notes, output) if question is None else _once(session, question, notes, output)


def _once(session: Session, question: str, notes: tuple[str, ...], output: Output) -> Result:
    from llmserve.chat.once import once

    return once(session, question, output, notes)


def _converse(session: Session, notes: tuple[str, ...], output: Output) -> Result:
    from llmserve.chat.prompt import reader
    from llmserve.chat.terminal import converse

    for note in notes:
        output.note(note)
    converse(session, reader(), output)
    return Result()


def _question(message: str | None, output: Output) -> str | None:
    """What to ask: the message and what is piped in. None is the wish for a conversation."""
    parts = [part for part in (message, _piped()) if part and part.strip()]
    if parts:
        return "\n\n".join(parts)
    if message is None and output.mode != "json" and sys.stdin and sys.stdin.isatty() and output.out.isatty():
        return None
    raise UsageError("There is nothing to ask.", hint='Give a question: llmserve chat -m "..."')


def _piped() -> str:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")


def _sampling(max_tokens: int | None, temperature: float | None) -> dict[str, Any]:
    fields = {"max_tokens": max_tokens, "temperature": temperature}
    return {name: value for name, value in fields.items() if value is not None}
