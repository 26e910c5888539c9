"""Runs commands of the Naptha CLI one after the other in one process: a line with folder and arguments in, a line with
exit code and output out. Importing the CLI takes longer than most of its commands."""

import io
import json
import os
import sys
import tempfile

answers = os.fdopen(os.dup(1), "w")
printed = tempfile.TemporaryFile()
# Loggers keep the stream that they find when they are made.
for stream in (1, 2):
    os.dup2(printed.fileno(), stream)

from naptha_sdk.cli import cli  # noqa: E402

for line in sys.stdin:
    call = json.loads(line)
    os.chdir(call["folder"])
    sys.argv = ["naptha", *call["arguments"]]
    printed.seek(0)
    printed.truncate()
    code = 0
    try:
        cli()
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    printed.seek(0)
    output = io.TextIOWrapper(io.BytesIO(printed.read()), errors="replace").read()
    answers.write(json.dumps({"code": code, "output": output}) + "\n")
    answers.flush()
