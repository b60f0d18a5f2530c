"""Entry point: ``llmserve`` and ``python -m llmserve``."""

from __future__ import annotations

import sys

from llmserve import __version__


def main() -> int:
    args = sys.argv[1:]
    if args in (["--version"], ["-V"]):  # answered before Typer is imported: scripts ask this often
        print(f"llmserve {__version__}")
        return 0
    from llmserve.app import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
