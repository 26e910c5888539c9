"""Prints without end."""


def run(module_run):
    while True:
        print("x" * 1000)
