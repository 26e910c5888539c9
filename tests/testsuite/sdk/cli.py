"""Calls the SDK's own command with each line of a list, in one process: importing it is what takes long.

Arguments: a JSON list of lists of arguments. Prints, on a line, what came of each: exit code and all that was printed.
"""

import contextlib
import io
import json
import logging
import sys
import time

from naptha_sdk import cli

sleep = time.sleep
# It asks how a run goes every three seconds.
time.sleep = lambda seconds: sleep(min(seconds, 0.2))

ended = []
for line in json.loads(sys.argv[1]):
    sys.argv = ["naptha", *line]
    printed, code = io.StringIO(), 0
    handlers = [h for name in list(logging.root.manager.loggerDict) for h in logging.getLogger(name).handlers]
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(printed)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            cli.cli()
        except SystemExit as exit:
            code = exit.code or 0
    ended.append({"code": code, "printed": printed.getvalue()})
print("ENDED " + json.dumps(ended))
