# Stands before each module of this folder: how an attempt is made, and told.
import base64, ctypes, errno, json, os, re, socket, stat, sys, urllib.error, urllib.request

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ARM = os.uname().machine == "aarch64"

# What the marks of things that nobody may read look like.
CANARY = re.compile(rb"canary-[0-9a-f]{32}")

escaped, refused = {}, {}


def attempt(what, action, *arguments):
    """Tries it. An `OSError` is how it is refused; `None` says that there was nothing to gain."""
    try:
        gained = action(*arguments)
    except socket.gaierror:
        refused[what] = "nothing"
    except OSError as error:
        refused[what] = errno.errorcode.get(error.errno, repr(error))
    else:
        if gained is None:
            refused[what] = "nothing"
        else:
            escaped[what] = repr(gained)[:200]


def told():
    return {"escaped": escaped, "refused": refused}


def syscall(x86, arm, *arguments):
    """A system call by its numbers on x86_64 and aarch64; `None` where there is no such call."""
    number = arm if ARM else x86
    if number is None:
        raise OSError(errno.ENOSYS, "no such call here")
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


def write(path, data=b"hostile"):
    """Writes to what is there, or makes it."""
    with open(path, "r+b" if os.path.lexists(path) else "wb") as file:
        file.write(data)
    return path


def opened(path, flags):
    os.close(os.open(path, flags))
    return path


def others(inputs):
    """Processes that are not this one: by what one is told, by guess, and by looking."""
    found = {1, os.getppid(), inputs["node_pid"], inputs["sibling"]["pid"], inputs["stranger"]["pid"]}
    found |= {inputs["sibling"]["inner_pid"], inputs["stranger"]["inner_pid"]}
    try:
        found |= {int(name) for name in os.listdir("/proc") if name.isdigit()}
    except OSError:
        pass
    return sorted(found - {os.getpid()})


def node_port():
    return int(os.environ["NAPT_NODE_URL"].rpartition(":")[2])


def ask(method, path, body=None, credential=None, headers={}):
    """Asks the node as a run; its status and answer."""
    credential = os.environ["NAPT_RUN_TOKEN"] if credential is None else credential
    headers = {"Content-Type": "application/json", **headers}
    if credential:
        headers["Authorization"] = "Basic " + base64.b64encode(credential.encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{node_port()}{path}", data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def asked(what, method, path, body=None, credential=None, headers={}):
    """An attempt at the node's doors."""
    status, text = ask(method, path, body, credential, headers)
    if status >= 400:
        refused[what] = f"HTTP {status}"
    else:
        escaped[what] = f"{status} {text[:200]}"
