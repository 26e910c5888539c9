"""Python loads this at its start, since `napt exec` puts its folder on `PYTHONPATH`; then the one that it hides."""

import importlib.machinery
import importlib.util
import os
import sys

import napt_script  # noqa: F401 - it is there for what it does

here = os.path.dirname(os.path.abspath(__file__))
others = [folder for folder in sys.path if os.path.abspath(folder) != here]
spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
if spec is not None and spec.loader is not None:
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)
