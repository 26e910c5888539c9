"""Has the proxy reach what it may not reach itself."""


def proxied(request):
    """The first line of what the proxy answers."""
    with socket.create_connection(("127.0.0.1", proxy_port()), timeout=10) as door:
        door.sendall(request.encode())
        return door.recv(4096).decode(errors="replace").partition("\r\n")[0]


def proxy_port():
    return 3129 if node_port() == 3128 else 3128


def run(module_run):
    inputs = module_run["inputs"]
    own = base64.b64encode(os.environ["NAPT_RUN_TOKEN"].encode()).decode()
    ended = base64.b64encode(inputs["ended"].encode()).decode()
    port = inputs["database"]
    places = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "example.com",
              "127.0.0.1.nip.io", "localhost.", "metadata.google.internal", "api.example.com@127.0.0.1", "127.0.0.1#.example.com"]

    def through(request):
        line = proxied(request)
        return line if line.split(" ")[1:2] == ["200"] else None

    for place in places:
        for credential in [own, ended, ""]:
            proof = f"Proxy-Authorization: Basic {credential}\r\n" if credential else ""
            who = {own: "own", ended: "ended"}.get(credential, "none")
            attempt(f"CONNECT {place} ({who})", through, f"CONNECT {place}:{port} HTTP/1.1\r\nHost: {place}:{port}\r\n{proof}\r\n")
            attempt(f"GET {place} ({who})", through, f"GET http://{place}:{port}/ HTTP/1.1\r\nHost: example.com\r\n{proof}\r\n")
    return told()
