"""The command table. A command's module is imported only when that command is chosen."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer._click.core import Command, Context, Parameter
from typer._click.exceptions import ClickException
from typer.core import TyperCommand, TyperGroup, TyperOption

from llmserve import settings
from llmserve.errors import InterruptedByUser, LlmserveError, UsageError
from llmserve.output import Output
from llmserve.result import Result


@dataclass(frozen=True)
class Entry:
    """One verb: its module under ``llmserve.commands`` and the line shown in ``--help``."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "up": Entry("up", "Serve a model: plan, download, launch, and say when it is ready."),
    "plan": Entry("plan", "Show what fits, for how many users, and why, before any download."),
    "export": Entry("export", "Write a plan as files for systemd, Kubernetes, Slurm and others."),
    "chat": Entry("chat", "Talk to any OpenAI-compatible endpoint."),
    "bench": Entry("bench", "Measure any endpoint under load, and prove the figures."),
    "probe": Entry("probe", "Tell whether an endpoint is really OpenAI-compatible."),
    "ps": Entry("ps", "List the servers of this machine that llmserve started."),
    "top": Entry("top", "Watch servers at work: tokens per second, latencies, caches."),
    "status": Entry("status", "Show one server in full: plan, facts, last failure."),
    "logs": Entry("logs", "Show what a server printed."),
    "stop": Entry("stop", "Stop servers and keep their records, to start them again."),
    "restart": Entry("restart", "Start servers anew as they were."),
    "down": Entry("down", "Stop servers and leave nothing behind."),
    "models": Entry("models", "List the models that llmserve knows by name."),
    "pull": Entry("pull", "Fetch a model's files, whole and verified, without serving it."),
    "ls": Entry("ls", "List the models on this disk, and what uses them."),
    "rm": Entry("rm", "Remove models from this disk."),
    "prune": Entry("prune", "Remove models that nobody has used for long."),
    "verify": Entry("verify", "Check a model's files on this disk against their hashes."),
    "connect": Entry("connect", "Print what another program needs to use an endpoint."),
    "doctor": Entry("doctor", "Show what this machine has, and what that means for serving."),
    "engine": Entry("engine", "Install, list and remove inference engines."),
}

EXIT_CODES = (
    "Exit codes: 0 ok, 1 error, 2 usage, 3 does not fit, 4 needs authentication or a licence, "
    "5 not ready in time, 6 server died, 7 probe found failures, 8 goal missed (bench), 130 interrupted."
)


class LazyGroup(TyperGroup):
    """Lists commands from the table and imports the chosen one alone (Typer's help would import them all)."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for parameter in self.params:
            if isinstance(parameter, TyperOption):
                parameter.allow_from_autoenv = parameter.show_envvar = False  # LLMSERVE_VERSION is somebody's own
        self.commands = {name: TyperCommand(name=name, help=entry.help) for name, entry in COMMANDS.items()}

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)  # in the order of the table, not of the alphabet

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = load(name)
            settings.check(name, (ctx.default_map or {}).get(name, {}), _settable(command))
        return name, command, rest


def load(name: str) -> Command:
    """The Typer command of one verb: its module's ``app``, with the table's line as help where it has none."""
    app: typer.Typer = importlib.import_module(f"llmserve.commands.{COMMANDS[name].module}").app
    command = typer.main.get_command(app)
    command.name = name
    for parameter in _parameters(command):
        if isinstance(parameter, TyperOption):
            parameter.show_envvar = bool(parameter.envvar)  # LLMSERVE_UP_PORT and its like are named in the README
            parameter.allow_from_autoenv = parameter.name not in _MODE
    return command


_MODE = ("json", "quiet")  # Output reads these from the command line alone


def _parameters(command: Command) -> list[Parameter]:
    inner = command.commands.values() if isinstance(command, TyperGroup) else ()
    return [*command.params, *(parameter for child in inner for parameter in _parameters(child))]


def _settable(command: Command) -> set[str]:
    options = (one.name for one in _parameters(command) if isinstance(one, TyperOption) and one.name)
    return {*options, *(getattr(command, "commands", {}))} - {*_MODE}


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, epilog=EXIT_CODES)


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", "-V", help="Print the version and exit."),
) -> None:
    """Serve open models behind an OpenAI-compatible API, and talk to any such API."""
    del version  # answered in __main__, before this module is imported


def run(args: list[str]) -> int:
    """Run one command line and return the exit code. Every error leaves through here, as text or as JSON."""
    output = Output.from_args(args)
    try:
        outcome: Any = app(
            args or ["--help"],
            standalone_mode=False,
            prog_name="llmserve",
            obj=output,
            default_map={} if "--help" in args else settings.defaults(COMMANDS),
            auto_envvar_prefix="LLMSERVE",
        )
        if outcome == InterruptedByUser.exit_code:  # Typer's answer to Ctrl-C
            return output.fail(InterruptedByUser("Interrupted."))
        if isinstance(outcome, Result):
            output.show(outcome)
            return outcome.exit_code
        return outcome if isinstance(outcome, int) else 0
    except ClickException as error:
        return output.fail(UsageError(error.format_message(), hint=_help_hint(error)))
    except LlmserveError as error:
        return output.fail(error)
    except (KeyboardInterrupt, typer.Abort):
        return output.fail(InterruptedByUser("Interrupted."))
    except BrokenPipeError:
        return output.closed()
    except OSError as error:
        what = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        return output.fail(
            LlmserveError(f"The system refused: {what}.", hint="`llmserve doctor` checks disks and memory.")
        )
    except Exception as error:  # the last resort: no traceback reaches a user who did not ask for it
        return output.fail_unexpected(error)


def _help_hint(error: ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"Try: {context.command_path if context else 'llmserve'} --help"
