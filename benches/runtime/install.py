#!/usr/bin/env python3
"""Deploys until ready, beside the installer's own commands by hand: a set that is installed already, and new sets whose
packages are all in the cache, locked and not.

    cargo build --release && python3 benches/runtime/install.py target/release/napt [SET …]

The sets are `small` and `sdk`; both when none is named. Standard library only, and everything in a temporary home; packages
come from the index that the installer's variables name.
"""

import itertools
import os
import pathlib
import shutil
import subprocess
import sys

import bench

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
SETS = sys.argv[2:] or ["small", "sdk"]
TIMES = 5

# What is asked for, so that the text can differ and the packages are the same; and what its code imports.
ASKED = {
    "small": ("httpx>=0.2.{}", ["httpx"]),
    "sdk": ("naptha-sdk>=0.0.{}", ["naptha_sdk.modules.agent", "naptha_sdk.schemas"]),
}

numbers = itertools.count(1)


def module(root, imports, requirement, lock=None):
    """A new module; its folder."""
    name = f"m{next(numbers)}"
    files = {
        "napt.toml": '[module]\ntype = "agent"\n',
        "pyproject.toml": f'[project]\nname = "{name}"\nversion = "0.1.0"\ndependencies = ["{requirement}"]\n',
        f"{name}/run.py": "".join(f"import {each}\n" for each in imports) + "\ndef run(module_run):\n    return 'hello'\n",
        f"{name}/schemas.py": bench.PLAIN["plain/schemas.py"],
        **({"requirements.txt": lock} if lock else {}),
    }
    return bench.write(root / "modules" / name, files)


class ByHand:
    """The same with the installer's commands, outside of any sandbox, with a cache of its own."""

    def __init__(self, root, environments, python):
        found = environments / "installer" / "bin" / "uv"
        self.uv = str(found) if found.exists() else shutil.which("uv")
        self.python, self.root = python, root / "by-hand"
        self.root.mkdir()
        own = {"UV_CACHE_DIR": str(self.root / "cache"), "UV_LINK_MODE": "hardlink", "UV_PYTHON_DOWNLOADS": "never"}
        self.env = {**os.environ, **own}

    def run(self, *words):
        done = subprocess.run([self.uv, *words], env=self.env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"uv {' '.join(words)}: {done.stderr}")
        return done.stdout

    def lock(self, requirement):
        asked = self.root / "requirements.in"
        asked.write_text(requirement)
        return self.run("pip", "compile", "--quiet", "--generate-hashes", "--python", self.python, str(asked))

    def install(self, imports, requirement, lock=None, offline=True):
        """An environment, its packages, and their imports by its interpreter."""
        venv = self.root / f"venv{next(numbers)}"
        python = str(venv / "bin" / "python")
        words = ["pip", "install", "--quiet", "--python", python, requirement]
        if lock:
            (self.root / "locked.txt").write_text(lock)
            words += ["--constraint", str(self.root / "locked.txt"), *(["--offline"] if offline else [])]
        self.run("venv", "--quiet", "--python", self.python, str(venv))
        self.run(*words)
        subprocess.run([python, "-I", "-c", "".join(f"import {each}\n" for each in imports)], check=True)


def measure(table, root, node, hand, name):
    asked, imports = ASKED[name]

    def requirement():
        return asked.format(next(numbers))

    first = requirement()
    lock = hand.lock(first)
    # From now on all packages are in both caches.
    node.deploy(module(root, imports, first))
    node.deploy(module(root, imports, requirement(), lock))
    hand.install(imports, first)
    hand.install(imports, requirement(), lock, offline=False)
    def deployed(requirement, locked=None):
        folder = module(root, imports, requirement, locked)
        return bench.timed(lambda: node.deploy(folder), 1, warm=0)

    taken = [time for _ in range(TIMES) for time in deployed(first)]
    table.row(f"`{name}`: installed already", bench.median_ms(taken), "ms", None, 1000)
    for what, locked in (("locked", lock), ("not locked", None)):
        floor, taken = [], []
        for _ in range(TIMES):
            # By turns, so that what else the machine does meets both alike.
            floor += bench.timed(lambda: hand.install(imports, requirement(), locked), 1, warm=0)
            taken += deployed(requirement(), locked)
        beside = ("uv venv, uv pip install, its imports", bench.median_ms(floor))
        table.row(f"`{name}`: new, in the cache, {what}", bench.median_ms(taken), "ms", beside, 1000)


def main():
    table = bench.Table(NAPT)
    os.environ.pop("NAPT_CACHE_DIR", None)
    with bench.home() as root:
        node = bench.Node(NAPT, root).admit()
        node.deploy(bench.write(root / "modules" / "plain", bench.PLAIN))
        python = str(pathlib.Path(os.path.realpath(node.pythons()[0])))
        hand = ByHand(root, root / "home" / "cache" / "environments", python)
        for name in SETS:
            measure(table, root, node, hand, name)
        node.stop()
    table.end()


if __name__ == "__main__":
    main()
