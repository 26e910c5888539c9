"""Compiles the files that a list names, by so many processes: those below one folder into another one, which may be the
same. It imports nothing of theirs."""

import importlib.util
import os
import py_compile
import sys

with open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as file:
    paths = file.read().split("\0")
workers = int(sys.argv[2])
origin, target = sys.argv[3:]
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def compile_every(first):
    for path in paths[first::workers]:
        try:
            bytecode = os.path.join(target, os.path.relpath(importlib.util.cache_from_source(path), origin))
            # As good as the file, which nobody changes any more, whatever its time says.
            py_compile.compile(path, bytecode, doraise=True, invalidation_mode=UNCHECKED)
        except Exception:  # not for this version of Python, or none at all: whoever imports it is told
            pass


children = []
for first in range(workers):
    child = os.fork()
    if not child:
        try:
            compile_every(first)
        finally:
            os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
