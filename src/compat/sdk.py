"""What programs written for naptha-sdk need beside it. Standard library only: it is loaded before anything else.

Each shim is applied once what it changes has been imported, and only then: a program that does not use the SDK is left
alone.
"""

import functools
import importlib
import importlib.machinery
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


class ShimFinder:
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


class OldNames:
    """Modules that an SDK had once under another name, and its classes by theirs."""

    modules = {
        **{f"naptha_sdk.{kind}": f"naptha_sdk.modules.{kind}" for kind in CLASSES},
        "naptha_sdk.storage.storage_provider": "naptha_sdk.storage.storage_client",
    }
    classes = {"StorageClient": "StorageProvider"}

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name in self.modules else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        for name, value in vars(importlib.import_module(self.modules[module.__name__])).items():
            if not name.startswith("__"):
                setattr(module, self.classes.get(name, name), value)


def install():
    """Has the shims applied from now on."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ShimFinder())
        # Last: what an SDK still has is its own.
        sys.meta_path.append(OldNames())


# --- the shims


@after_import("websockets.legacy.client")
def large_messages(module):
    """Results may exceed the library's default of 1 MiB. Nodes send those only to whoever says that it takes them."""
    original = module.Connect.__init__

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_size", MAX_MESSAGE)
        headers = module.Headers(kwargs.get("extra_headers") or {})
        headers["napt-max-message"] = str(kwargs["max_size"] or MAX_MESSAGE)
        kwargs["extra_headers"] = headers
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


class Created(dict):
    """What `create` answers. Authors took it for the object itself, so it can be run as well."""

    def __init__(self, answer, creator):
        super().__init__(answer)
        self.__dict__["creator"] = creator

    def __getattr__(self, name):
        return self[name] if name in self else getattr(self.creator, name)


def run_input_class(kind):
    prefix = {"kb": "KB"}.get(kind, kind.capitalize())
    return getattr(importlib.import_module("naptha_sdk.schemas"), f"{prefix}RunInput")


def module_class(kind, name):
    @after_import(f"naptha_sdk.modules.{kind}")
    def old_calls(module):
        """A class of 1.x takes what that of 0.2 took, and plain dicts. `call_TYPE_func` is what `run` was called once."""
        target = getattr(module, name)
        if not hasattr(target, "run"):
            return  # 0.2's own
        create, run = target.create, target.run

        def __init__(self, deployment=None, *args, **kwargs):
            given = (kwargs[key] for key in kwargs if key.endswith("deployment"))
            self.deployment = next(given, None) if deployment is None else deployment
            setattr(self, f"{kind}_deployment", self.deployment)

        @functools.wraps(create)
        async def create_from(self, deployment, *args, **kwargs):
            if isinstance(deployment, dict):
                deployment = PlainDeployment(deployment)
            created = await create(self, deployment, *args, **kwargs)
            return Created(created, self) if isinstance(created, dict) else created

        @functools.wraps(run)
        async def run_from(self, module_run_input, *args, **kwargs):
            if isinstance(module_run_input, dict):
                module_run_input = run_input_class(kind)(**module_run_input)
            return await run(self, module_run_input, *args, **kwargs)

        async def call(self, run_input, *args, **kwargs):
            return await self.run(run_input, *args, **kwargs)

        if target.__init__ is object.__init__:
            target.__init__ = __init__
        target.create, target.run = create_from, run_from
        if not hasattr(target, f"call_{kind}_func"):
            setattr(target, f"call_{kind}_func", call)


for kind, name in CLASSES.items():
    module_class(kind, name)
