"""What every test may rely on."""

from __future__ import annotations

import signal

# A shell without job control lets what it starts in the background ignore Ctrl-C, and so would every process that a
# test starts, and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
