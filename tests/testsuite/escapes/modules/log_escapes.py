"""Prints what makes terminals do things, and fails with it."""


def run(module_run):
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x1b]52;c;cm0gLXJm\x07\x9b31m\rhidden\x08\x08\u202etxt.exe"
    print(evil)
    print(evil, file=sys.stderr)
    os.write(1, b"\xff\xfe\x1bc\x1b[?1049h\n")
    raise ValueError(evil)
