"""Ignores every signal, and goes on past its time."""
import signal


def run(module_run):
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    while True:
        signal.pause()
