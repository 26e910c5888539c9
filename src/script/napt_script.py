"""What a program under `napt exec` gets: the shims of `napt_sdk`, and its own node, with the credential for it.

The SDK prints and logs the addresses that it calls. So the credential is taken out of them, and put into the requests.
"""

import base64
import os
from types import SimpleNamespace
from urllib.parse import urlsplit

import napt_sdk
from napt_sdk import after_import

# What napt has set, which no `.env` file replaces.
SET = {name: os.environ[name] for name in ("NODE_URL", "HUB_URL", "PRIVATE_KEY") if name in os.environ}

NODE = urlsplit(SET.get("NODE_URL", ""))
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
PORT = NODE.port or DEFAULT_PORTS.get(NODE.scheme)

CREDENTIAL = {}
if NODE.username:
    pair = f"{NODE.username}:{NODE.password or ''}".encode()
    CREDENTIAL["Authorization"] = "Basic " + base64.b64encode(pair).decode()


@after_import("dotenv.main")
def keep_environment(module):
    original = module.load_dotenv

    def load_dotenv(*args, **kwargs):
        loaded = original(*args, **kwargs)
        os.environ.update(SET)
        return loaded

    module.load_dotenv = load_dotenv


# --- the credential


def is_own(scheme, host, port):
    """Whether a request goes to the program's own node."""
    return host == NODE.hostname and (port or DEFAULT_PORTS.get(scheme)) == PORT


@after_import("httpx")
def sign_http(module):
    def signing(client):
        original = client.send

        def send(self, request, **kwargs):
            has_own = request.headers.get("Authorization", "Bearer None") != "Bearer None"
            if not has_own and is_own(request.url.scheme, request.url.host, request.url.port):
                request.headers.update(CREDENTIAL)
            return original(self, request, **kwargs)

        client.send = send

    signing(module.Client)
    signing(module.AsyncClient)


@after_import("websockets.legacy.client")
def sign_websockets(module):
    original = module.Connect.__init__

    def __init__(self, uri, **kwargs):
        url = urlsplit(uri)
        if not url.username and not kwargs.get("extra_headers") and is_own(url.scheme, url.hostname, url.port):
            kwargs["extra_headers"] = CREDENTIAL
        original(self, uri, **kwargs)

    module.Connect.__init__ = __init__


@after_import("naptha_sdk.utils")
def leave_credentials_out(module):
    original = module.url_to_node

    def url_to_node(url):
        node = original(url)
        if url == SET.get("NODE_URL"):
            node.ip = node.ip.rpartition("@")[2]
        return node

    module.url_to_node = url_to_node


# --- nodes that are given by name, or by a host without a port: the own one finds them


def part(node, name):
    return node.get(name) if isinstance(node, dict) else getattr(node, name, None)


def address(node):
    """Scheme, host and port of what to call for a node."""
    host, port = part(node, "ip"), part(node, "user_communication_port")
    if host and port:
        return part(node, "user_communication_protocol") or "http", host, port
    return NODE.scheme, NODE.hostname, PORT


def takes_any_node(name):
    def shim(module):
        target = getattr(module, name)
        original = target.__init__

        def __init__(self, node, *args, **kwargs):
            scheme, host, port = address(node)
            # The SDK leaves the port of an https address out.
            host, port = (f"{host}:{port}", None) if scheme == "https" else (host, port)
            reached = SimpleNamespace(ip=host, user_communication_protocol=scheme, user_communication_port=port)
            original(self, reached, *args, **kwargs)
            self.node = node

        target.__init__ = __init__

    return shim


after_import("naptha_sdk.client.node")(takes_any_node("UserClient"))
after_import("naptha_sdk.inference")(takes_any_node("InferenceClient"))
after_import("naptha_sdk.storage.storage_client")(takes_any_node("StorageClient"))


@after_import("naptha_sdk.client.node")
def calls_any_node(module):
    original = module.NodeClient.__init__

    def __init__(self, node):
        if part(node, "ports"):
            original(self, node)
            return
        scheme, host, port = address(node)
        original(self, SimpleNamespace(ip=host, ports=[port], node_communication_protocol="ws"))
        if scheme == "https":
            self.node_url = f"wss://{host}:{port}"

    module.NodeClient.__init__ = __init__


napt_sdk.install()
