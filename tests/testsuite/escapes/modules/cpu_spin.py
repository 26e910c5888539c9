"""Uses the processor without end."""


def run(module_run):
    while True:
        pass
