"""Returns more than a node wants to keep."""


def run(module_run):
    return "x" * (40 << 20)
