"""What programs written for naptha-sdk need beside it. Standard library only: it is loaded before anything else.

Each shim is applied once what it changes has been imported, and only then: a program that does not use the SDK is left
alone.
"""

import importlib.abc
import sys

# The largest message between a program and a node.
MAX_MESSAGE = 256 * 1024 * 1024

# Module types and their classes in `naptha_sdk.modules`.
CLASSES = {
    "agent": "Agent",
    "environment": "Environment",
    "kb": "KnowledgeBase",
    "memory": "Memory",
    "orchestrator": "Orchestrator",
    "tool": "Tool",
}

shims = {}


def after_import(name):
    """The decorated function gets the module of this name, as soon as that is there."""

    def register(shim):
        shims.setdefault(name, []).append(shim)
        if name in sys.modules:
            shim(sys.modules[name])
        return shim

    return register


class ShimFinder(importlib.abc.MetaPathFinder):
    """Finds what has shims as the other finders do, and has them applied."""

    def find_spec(self, name, path=None, target=None):
        if name not in shims:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        loader = getattr(spec, "loader", None)
        original = getattr(loader, "exec_module", None)
        if original is None:
            return spec

        def exec_module(module):
            original(module)
            for shim in shims[name]:
                shim(module)

        loader.exec_module = exec_module
        return spec


def install():
    """Has the shims applied from now on."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ShimFinder())


# --- the shims


@after_import("websockets.legacy.client")
def large_messages(module):
    """Results may exceed the library's default of 1 MiB."""
    original = module.Connect.__init__

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_size", MAX_MESSAGE)
        original(self, *args, **kwargs)

    module.Connect.__init__ = __init__


def plain(value):
    """Models within a deployment that is a plain dict, as JSON has them."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


class PlainDeployment:
    """A dict where the SDK expects a model. No defaults of a model come into it."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.node = deployment.get("node")

    def model_dump(self):
        return plain(self.deployment)


def module_class(kind, name):
    @after_import(f"naptha_sdk.modules.{kind}")
    def calls(module):
        """`create` takes a plain dict, and `call_TYPE_func` is what `run` was called once."""
        target = getattr(module, name)
        create = target.create

        async def create_from(self, deployment, *args, **kwargs):
            if isinstance(deployment, dict):
                deployment = PlainDeployment(deployment)
            return await create(self, deployment, *args, **kwargs)

        async def call(self, run_input, *args, **kwargs):
            return await self.run(run_input, *args, **kwargs)

        target.create = create_from
        if not hasattr(target, f"call_{kind}_func"):
            setattr(target, f"call_{kind}_func", call)


for kind, name in CLASSES.items():
    module_class(kind, name)
