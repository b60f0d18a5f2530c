"""Entry point: ``llmserve`` and ``python -m llmserve``."""

from __future__ import annotations

import gc
import sys

from llmserve import __version__


def main() -> int:
    args = sys.argv[1:]
    if args in (["--version"], ["-V"]):  # answered before Typer is imported: scripts ask this often
        print(f"llmserve {__version__}")
        return 0
    gc.set_threshold(20_000)  # what start-up makes stays: looking through it every 700 objects finds nothing
    try:
        from llmserve.app import run

        return run(args)
    except KeyboardInterrupt:  # before there was anything to stop
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
