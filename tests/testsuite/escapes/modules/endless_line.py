"""Prints one line that never ends, on both streams."""


def run(module_run):
    while True:
        os.write(1, b"y" * 65536)
        os.write(2, b"z" * 65536)
