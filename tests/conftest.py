"""What every test may rely on."""

from __future__ import annotations

import signal

# A shell without job control lets what it starts in the background ignore Ctrl-C, and nohup lets it ignore a terminal
# that closes. So would every process that a test starts, and signals. A handler, other than SIG_IGN, is not inherited:
# the tests themselves still outlive the terminal.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
