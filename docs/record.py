"""Records the README's picture: real commands on a real (pseudo) terminal, drawn by rich's recorder.

usage: make picture     (needs the embedded engine; starts and stops a server of its own)
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 104, 46
_COLOURS = {name: name for name in ("red", "green", "blue", "magenta", "cyan")} | {"brown": "yellow"}
COMMANDS = (
    "llmserve up tiny -d",
    'llmserve chat -m "What is the KV cache?" --max-tokens 24',
    "llmserve ps",
    "llmserve down",
)
PICTURE = Path(__file__).with_name("terminal.svg")


def play(command: str, feed: pyte.ByteStream, env: dict[str, str]) -> None:
    """Run one command on a pseudo-terminal and feed what it draws to the screen."""
    feed.feed(f"\x1b[32m$\x1b[0m {command}\r\n".encode())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    with subprocess.Popen(command, shell=True, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as child:
        os.close(theirs)
        while child.poll() is None or select.select([ours], [], [], 0.1)[0]:
            try:
                feed.feed(os.read(ours, 65536))
            except OSError:
                break
    os.close(ours)


def drawn(screen: pyte.Screen) -> Text:
    """What stands on the screen above the cursor, with its colours."""
    lines = []
    for row in range(screen.cursor.y):
        line = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(bold=cell.bold, color=_COLOURS.get(cell.fg)))
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def main() -> None:
    screen = pyte.Screen(COLUMNS, LINES)
    feed = pyte.ByteStream(screen)
    home = tempfile.mkdtemp()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "XDG_STATE_HOME": home, "TERM": "xterm-256color", "OPENAI_BASE_URL": ""}
    try:
        for command in COMMANDS:
            play(command, feed, env)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=COLUMNS, record=True, file=nowhere, force_terminal=True, color_system="standard")
        console.print(drawn(screen))
    PICTURE.write_text(console.export_svg(title="llmserve"), encoding="utf-8")


if __name__ == "__main__":
    main()
