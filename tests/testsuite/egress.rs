//! What modules reach beyond their node: what their manifests name and the operator allows, and nothing else.

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::send,
    modules::{Python, write},
    node::{TestNode, User, cache},
    provider::Provider,
    registry::TestRegistry,
    site::{Silent, Site},
};

/// Does what it is told, and gives what it has `found`.
const PROBE: &str = r#"
import base64, json, os, socket, sys, time, urllib.error, urllib.request

MINE, _, PROXY = os.environ.get("HTTP_PROXY", "").removeprefix("http://").rpartition("@")

def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except OSError as error:
        return [0, str(error)]

def proxy():
    host, port = PROXY.split(":")
    return socket.create_connection((host, int(port)), 30)

def head(connection):
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        read += byte
    return read.decode().split("\r\n")[0]

def request(line, credential=MINE, more=""):
    header = "Proxy-Authorization: Basic " + base64.b64encode((credential or "").encode()).decode() + "\r\n"
    return f"{line} HTTP/1.1\r\nHost: x\r\n{header if credential else ''}{more}\r\n".encode()

def ask(line, credential=MINE, more=""):
    with proxy() as connection:
        connection.sendall(request(line, credential, more))
        return head(connection)

def connect(target, credential=MINE):
    connection = proxy()
    connection.sendall(request(f"CONNECT {target}", credential))
    return connection, head(connection)

def run(module_run):
    scope = dict(globals(), **module_run["inputs"])
    exec(scope["code"], scope)
    return json.dumps(scope["found"])
"#;

/// A node with the module, which may name these hosts.
struct Scene {
    node: TestNode,
    user: User,
}

impl Scene {
    fn new(hosts: &[&str], allowed: &[&str]) -> Self {
        Self::with(hosts, allowed, &[])
    }

    fn with(hosts: &[&str], allowed: &[&str], requirements: &[&str]) -> Self {
        let flags: Vec<&str> = allowed.iter().flat_map(|host| ["--egress", host]).collect();
        let node = TestNode::start(&flags);
        let more = format!("[permissions]\nhosts = {hosts:?}\n");
        node.deploy(&Python { more: &more, requirements, ..Python::new("agent:probe", PROBE) });
        let user = node.user();
        Scene { node, user }
    }

    /// A node that allows a site, and a module that names it.
    fn of(port: u16) -> Self {
        Self::new(&[&format!("api.localhost:{port}")], &["*", &format!("127.0.0.1:{port}")])
    }

    /// What the code has found, and the run's log.
    #[track_caller]
    fn run(&self, code: &str, inputs: Value) -> (Value, String) {
        let run = self.user.run("agent:probe", with_code(code, inputs));
        let log = self.user.log(&run.id);
        let result = run.result.unwrap_or_else(|| panic!("{:?}\n{log}", run.error));
        (serde_json::from_str(&result).expect("JSON"), log)
    }
}

fn with_code(code: &str, mut inputs: Value) -> Value {
    inputs["code"] = code.into();
    inputs
}

/// How often the node has told a log something.
fn told(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("napt: ")).collect()
}

#[test]
fn a_host_that_the_manifest_names_is_reached_over_http() {
    let site = Site::start();
    let scene = Scene::of(site.port);
    let url = format!("http://api.localhost:{}/some/path?a=b", site.port);
    let more = "X-Mine: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Connection: keep-alive\r\n";
    let (found, log) = scene.run(
        "found = [get(url), get(url.replace('api', 'API')), ask('GET ' + url, more=more)]",
        json!({ "url": url, "more": more }),
    );
    let (first, second) = (&found[0], &found[1]);
    assert_eq!((&first[0], &second[0]), (&json!(200), &json!(200)), "{found}");
    assert!(found[2].as_str().expect("text").starts_with("HTTP/1.1 200"), "{found}");
    assert!(told(&log).is_empty(), "{log}");
    for asked in site.asked() {
        assert_eq!(asked["uri"], "/some/path?a=b");
        let headers = asked["headers"].as_object().expect("headers");
        // The host is the one that was judged, and what is for the proxy goes no further.
        assert!(headers["host"].as_str().expect("text").eq_ignore_ascii_case(&format!("api.localhost:{}", site.port)));
        for hop in ["proxy-authorization", "proxy-connection", "x-hop"] {
            assert!(!headers.contains_key(hop), "{asked}");
        }
    }
    assert_eq!(site.asked()[2]["headers"]["x-mine"], "1");
}

#[test]
fn a_tunnel_brings_bytes_both_ways() {
    let site = Site::start();
    let scene = Scene::of(site.port);
    let code = "
connection, answer = connect(f'api.localhost:{port}')
connection.sendall(b'GET /inside HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n')
found = [answer, connection.makefile().read()]";
    let (found, _) = scene.run(code, json!({ "port": site.port }));
    assert!(found[0].as_str().expect("text").starts_with("HTTP/1.1 200"), "{found}");
    assert!(found[1].as_str().expect("text").contains("/inside"), "{found}");
}

#[test]
fn clients_of_http_find_the_way_by_themselves() {
    let (site, secure) = (Site::start(), Silent::start());
    let (first, second) = (format!("api.localhost:{}", site.port), format!("*.apis.localhost:{}", secure.port));
    let allowed = [format!("127.0.0.1:{}", site.port), format!("127.0.0.1:{}", secure.port)];
    let scene = Scene::with(&[&first, &second], &[&allowed[0], &allowed[1]], &["naptha-sdk==1.0.5"]);
    let code = "
import asyncio, httpx
async def later():
    async with httpx.AsyncClient() as client:
        return (await client.get(f'http://{site}/later')).status_code
found = [httpx.get(f'http://{site}/now').status_code, asyncio.run(later())]
try:
    httpx.get(f'https://one.apis.localhost:{secure}/', timeout=2)
except httpx.TransportError as error:
    found.append(type(error).__name__)
try:
    httpx.get('https://other.localhost/')
except httpx.ProxyError as error:
    found.append(str(error))
# The node is reached directly.
found.append(httpx.get(os.environ['NAPT_NODE_URL'] + '/health').status_code)";
    let (found, log) = scene.run(code, json!({ "site": first, "secure": secure.port }));
    assert_eq!((&found[0], &found[1], &found[4]), (&json!(200), &json!(200), &json!(200)), "{found}");
    let refused = found[3].as_str().expect("text");
    assert!(refused.starts_with("403 `other.localhost:443` is not in `[permissions] hosts`"), "{found}");
    // TLS is between the module and the host.
    assert_eq!(secure.ended().first(), Some(&0x16));
    assert_eq!(told(&log).len(), 1, "{log}");
}

#[test]
fn a_host_that_the_manifest_does_not_name_is_refused_and_the_log_says_what_to_add() {
    let scene = Scene::new(&["api.example.com"], &["*"]);
    let code = "
found = [get('http://other.example/'), get('http://other.example/again')]
found += [connect('api.example.com:8443')[1], connect('b.example:443')[1], connect('api.example.com.evil.example:443')[1]]";
    let (found, log) = scene.run(code, json!({}));
    let line = "`other.example:80` is not in `[permissions] hosts` of agent:probe: add `hosts = [\"other.example\"]`";
    assert_eq!(found[0], json!([403, format!("{line}\n")]));
    assert_eq!(found[1], found[0]);
    assert!(found[2].as_str().expect("text").contains("add `hosts = [\"api.example.com:8443\"]`"), "{found}");
    let told = told(&log);
    assert_eq!(told.len(), 4, "{log}");
    assert_eq!(told[0], format!("napt: {line}"));
}

#[test]
fn a_module_that_names_no_host_is_told_of_no_proxy() {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:plain", "import os\ndef run(module_run):\n    return dict(os.environ)\n"));
    let run = node.user().run("agent:plain", json!({}));
    assert!(!run.result.expect("a result").to_lowercase().contains("proxy"));
}

#[test]
fn the_operator_has_the_last_word() {
    let site = Site::start();
    let host = format!("api.localhost:{}", site.port);
    for allowed in [&["none"][..], &["none", "*"], &["*.example.com"], &["127.0.0.1:1"]] {
        let scene = Scene::new(&[&host], allowed);
        let (found, log) = scene.run("found = get(url)", json!({ "url": format!("http://{host}/") }));
        assert_eq!(found[0], 403, "{allowed:?}: {found}");
        let line =
            format!("napt: `{host}` is refused by this node's operator: `napt node --egress {host}` would allow it");
        assert_eq!(told(&log), [line], "{allowed:?}");
    }
    assert!(site.asked().is_empty());
}

#[test]
fn private_networks_and_the_machine_itself_are_never_reached() {
    let site = Site::start();
    let host = format!("api.localhost:{}", site.port);
    let scene = Scene::new(&[&host, "localhost:22", "localhost"], &["*", "127.0.0.1:1"]);
    let (found, log) = scene.run(
        "found = [ask(f'GET http://{place}/') for place in places]",
        json!({ "places": [
        host, "localhost:22", "127.0.0.1", "127.0.0.1:22", "127.1", "2130706433", "0x7f000001", "[::1]:22",
        "[::ffff:127.0.0.1]", "0.0.0.0:22", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]", "100.100.100.200", scene.node.address(),
    ] }),
    );
    for answer in found.as_array().expect("answers") {
        assert!(answer.as_str().expect("text").starts_with("HTTP/1.1 403"), "{found}");
        assert!(answer.as_str().expect("text").contains("is an address of a private network"), "{found}");
    }
    assert!(told(&log).len() > 10, "{log}");
    assert!(site.asked().is_empty());
}

#[test]
fn a_redirect_is_judged_like_any_other_request() {
    let site = Site::start();
    let scene = Scene::of(site.port);
    let url = format!("http://api.localhost:{}/away?http://169.254.169.254/latest/meta-data/", site.port);
    let (found, log) = scene.run("found = get(url)", json!({ "url": url }));
    assert_eq!(found[0], 403, "{found}");
    assert!(log.contains("napt: `169.254.169.254:80` is an address of a private network"), "{log}");
}

#[test]
fn only_the_credential_of_a_run_that_goes_on_opens_the_proxy() {
    let site = Site::start();
    let scene = Scene::of(site.port);
    let url = format!("http://api.localhost:{}/", site.port);
    // An ended run's.
    let (ended, _) = scene.run("found = MINE", json!({}));
    // Backwards: no input may show one.
    let token: String = scene.node.token(3600).chars().rev().collect();
    let other = scene.user.start("agent:probe", with_code("print('ready', flush=True); time.sleep(600)", json!({})));
    scene.user.line(&other.id, "ready");
    let code = "
run, _, secret = MINE.partition('.local:')
credentials = [None, ended, f'{other}.local:{secret}', f'{run}.local:{\"0\" * 32}', f'{run}.elsewhere:{secret}', f'{token[::-1]}:']
found = [ask('GET ' + url, credential) for credential in credentials]
found += [connect(place, credential)[1] for credential in credentials]
found.append(ask('GET ' + url))";
    let place = format!("api.localhost:{}", site.port);
    let inputs = json!({ "url": url, "place": place, "ended": ended, "other": other.id, "token": token });
    let (found, _) = scene.run(code, inputs);
    let (last, refused) = found.as_array().expect("answers").split_last().expect("answers");
    assert_eq!(refused.len(), 12);
    for answer in refused {
        assert!(answer.as_str().expect("text").starts_with("HTTP/1.1 407"), "{found}");
    }
    assert!(last.as_str().expect("text").starts_with("HTTP/1.1 200"), "{found}");
    assert_eq!(site.asked().len(), 1);
}

#[test]
fn what_is_no_request_for_a_proxy_is_refused() {
    let scene = Scene::new(&["api.example.com"], &["*"]);
    let code = r"
found = [ask(line) for line in ['GET /', 'GET https://api.example.com/', 'CONNECT api.example.com', 'GET http://a%20b/']]
found.append(ask('GET http://api.example.com/', more='X: ' + 'x' * 100_000 + '\r\n'))
found.append(ask('GET http://api.example.com/', more='X: y\r\n' * 200))
with proxy() as connection:
    connection.sendall(b'\x16\x03\x01 no HTTP\r\n\r\n')
    found.append(head(connection))";
    let (found, _) = scene.run(code, json!({}));
    let statuses: Vec<&str> =
        found.as_array().expect("answers").iter().map(|line| &line.as_str().expect("text")[9..12]).collect();
    assert_eq!(statuses, ["400", "400", "400", "400", "431", "431", "400"], "{found}");
}

#[test]
fn a_client_that_dawdles_is_cut_off_and_hinders_nobody() {
    let site = Site::start();
    let scene = Scene::of(site.port);
    let code = "
slow = [proxy() for _ in range(200)]
for connection in slow:
    connection.sendall(b'GET http://x/ HTTP/1.1\\r\\nHost:')
found = [get(url)[0]]
found.append([connection.recv(100).decode()[:12] for connection in slow[:3]])
found.append(get(url)[0])";
    let (found, _) = scene.run(code, json!({ "url": format!("http://api.localhost:{}/", site.port) }));
    assert_eq!((&found[0], &found[2]), (&json!(200), &json!(200)), "{found}");
    for end in found[1].as_array().expect("ends") {
        assert!(["", "HTTP/1.1 408"].contains(&end.as_str().expect("text")), "{found}");
    }
}

#[test]
fn a_run_has_so_many_connections_and_no_more() {
    let silent = Silent::start();
    let scene = Scene::of(silent.port);
    let code = "
open = [connect(place) for _ in range(140)]
found = [[answer for _, answer in open].count(open[0][1]), open[-1][1]]
for connection, _ in open:
    connection.close()
deadline = time.monotonic() + 60
answer = ''
while ' 200' not in answer and time.monotonic() < deadline:
    answer = connect(place)[1]
found.append(answer)";
    let (found, _) = scene.run(code, json!({ "place": format!("api.localhost:{}", silent.port) }));
    assert_eq!(found[0], 128, "{found}");
    assert!(found[1].as_str().expect("text").starts_with("HTTP/1.1 503 this run has 128 connections"), "{found}");
    assert!(found[2].as_str().expect("text").starts_with("HTTP/1.1 200"), "{found}");
}

#[test]
fn a_tunnel_ends_with_its_run() {
    let (site, silent) = (Site::start(), Silent::start());
    let hosts = [site.port, silent.port].map(|port| format!("api.localhost:{port}"));
    let allowed = [site.port, silent.port].map(|port| format!("127.0.0.1:{port}"));
    let scene = Scene::new(&[&hosts[0], &hosts[1]], &[&allowed[0], &allowed[1]]);
    // One run gives its credential away, and another opens a tunnel with it.
    let code = "get(f'http://{site}/?{MINE}'); print('ready', flush=True); time.sleep(600)";
    let giver = scene.user.start("agent:probe", with_code(code, json!({ "site": hosts[0] })));
    scene.user.line(&giver.id, "ready");
    let uri = site.asked()[0]["uri"].as_str().expect("text").to_owned();
    let code = "
connection, answer = connect(silent, credential)
connection.sendall(b'hello')
print('open', answer, flush=True)
found = connection.recv(10).decode()";
    let inputs = json!({ "silent": hosts[1], "credential": uri.trim_start_matches("/?") });
    let taker = scene.user.start("agent:probe", with_code(code, inputs));
    assert!(scene.user.line(&taker.id, "open").starts_with("HTTP/1.1 200"));
    scene.user.cancel(&giver.id);
    assert_eq!(silent.ended(), b"hello");
    let view = scene.user.ended(&taker.id);
    assert_eq!(view.result.as_deref(), Some("\"\""), "{:?}", view.error);
}

#[test]
fn deploying_tells_what_a_module_may_reach_and_what_it_will_not() {
    let node = TestNode::start(&["--egress", "*.example.com"]);
    let hosts = ["api.example.com", "*.example.com", "a.b.example.com:8443", "example.org"];
    let more = format!("[permissions]\nhosts = {hosts:?}\n");
    let ran = node.deploy(&Python { more: &more, ..Python::new("agent:probe", PROBE) });
    let step = format!("Hosts agent:probe may reach {}\n", hosts.join(", "));
    assert!(ran.stderr.contains(&step), "{}", ran.stderr);
    for refused in &hosts[2..] {
        let warning = format!(
            "warning: agent:probe names `{refused}`, which this node's operator refuses; \
             `napt node --egress '{refused}'` would allow it\n"
        );
        assert!(ran.stderr.contains(&warning), "{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("operator refuses").count(), 2, "{}", ran.stderr);
}

#[test]
fn a_registry_tells_what_a_module_may_reach() {
    let registry = TestRegistry::start();
    let owner = registry.sandbox();
    owner.napt(&["login"]).expect(0);
    write(&owner, "m", "agent:probe", "0.1.0", "[permissions]\nhosts = [\"api.example.com\", \"b.example:8443\"]\n");
    owner.napt(&["-C", "m", "publish", "--no-verify"]).expect(0);
    let ran = owner.napt(&["info", "agent:probe", "--message-format", "json"]).expect(0);
    let hosts = &ran.json()["data"]["manifest"]["permissions"]["hosts"];
    assert_eq!(*hosts, json!(["api.example.com", "b.example:8443"]));
    let ran = owner.napt(&["info", "agent:probe"]).expect(0);
    assert!(ran.stdout.contains("\nreaches     api.example.com, b.example:8443\n"), "{}", ran.stdout);
}

#[test]
fn a_module_has_models_and_never_the_key_of_their_provider() {
    let provider = Provider::start();
    let key = "sk-canary-of-the-provider-0123456789";
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NAPT_PROVIDER_KEY", key);
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    let home = node.sandbox.home();
    node.deploy(&Python::new("agent:probe", PROBE));
    let code = "
import glob
key = key[::-1].encode()
token = base64.b64encode(os.environ['NAPT_RUN_TOKEN'].encode()).decode()
url = 'http://127.0.0.1:' + os.environ['NAPT_NODE_URL'].rpartition(':')[2] + '/inference/chat/completions'
body = json.dumps({'model': 'good', 'messages': [{'role': 'user', 'content': 'hi'}]}).encode()
headers = {'Authorization': 'Basic ' + token, 'Content-Type': 'application/json'}
with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
    said = json.loads(answer.read())['choices'][0]['message']['content']
places = ['/proc/*/environ', '/proc/*/cmdline', '/proc/*/task/*/environ', home + '/**', os.environ['HOME'] + '/**', '/etc/**']
read, leaks = 0, []
for place in places:
    for path in glob.iglob(place, recursive=True, include_hidden=True) if sys.version_info >= (3, 11) else glob.iglob(place, recursive=True):
        try:
            with open(path, 'rb') as file:
                text = file.read(1 << 20)
        except OSError:
            continue
        read += 1
        if key in text:
            leaks.append(path)
found = [said, read > 3, leaks, key.decode() in str(dict(os.environ))]";
    // Backwards: no input may show one.
    let backwards: String = key.chars().rev().collect();
    let user = node.user();
    let run = user.run("agent:probe", with_code(code, json!({ "key": backwards, "home": home })));
    let result = run.result.unwrap_or_else(|| panic!("{:?}", run.error));
    assert_eq!(serde_json::from_str::<Value>(&result).expect("JSON"), json!(["I am good", true, [], false]));
    assert_eq!(provider.asked()[0].0, format!("Bearer {key}"));
}

#[test]
fn an_import_reaches_nothing() {
    let site = Site::start();
    let node = TestNode::start(&["--egress", &format!("127.0.0.1:{}", site.port)]);
    let url = format!("http://api.localhost:{}/", site.port);
    let code = format!("{PROBE}\nSEEN = get({url:?})\ndef run(module_run):\n    return json.dumps(SEEN)\n");
    let more = format!("[permissions]\nhosts = [\"api.localhost:{}\"]\n", site.port);
    node.deploy(&Python { more: &more, ..Python::new("agent:early", &code) });
    // Deploying has imported it, for nobody's run.
    assert!(site.asked().is_empty());
    let run = node.user().run("agent:early", json!({}));
    assert!(run.result.expect("a result").starts_with("[200, "));
}

#[test]
fn what_goes_past_the_proxy_is_told_once() {
    let scene = Scene::new(&["*.named.invalid"], &["*"]);
    let code = "
import asyncio
found = []
def attempt(host, port):
    try:
        socket.create_connection((host, port))
    except OSError as error:
        found.append(type(error).__name__)
for _ in range(2):
    attempt('other.invalid', 443)
    attempt('other.invalid', 8443)
    attempt('a.named.invalid', 443)
async def later():
    await asyncio.open_connection('later.invalid', 80)
try:
    asyncio.run(later())
except OSError as error:
    found.append(type(error).__name__)";
    let (found, log) = scene.run(code, json!({}));
    assert_eq!(found, json!(vec!["gaierror"; 7]));
    let lines = [
        "`other.invalid:443` is not in `[permissions] hosts` of agent:probe: add `hosts = [\"other.invalid\"]`",
        "`other.invalid:8443` is not in `[permissions] hosts` of agent:probe: add `hosts = [\"other.invalid:8443\"]`",
        "`a.named.invalid:443` is reached through the proxy in `HTTPS_PROXY` only, which was not asked",
        "`later.invalid:80` is not in `[permissions] hosts` of agent:probe: add `hosts = [\"later.invalid\"]`",
    ];
    assert_eq!(told(&log), lines.map(|line| format!("napt: {line}")));
}

#[test]
fn the_proxy_is_not_the_node() {
    let scene = Scene::new(&["api.example.com"], &["*"]);
    let (found, _) = scene.run("found = ask(f'POST http://{node}/v1/runs')", json!({ "node": scene.node.address() }));
    assert!(found.as_str().expect("text").starts_with("HTTP/1.1 403"), "{found}");
    let answer = send("GET", &format!("{}/health", scene.node.url), &[], "");
    assert_eq!(answer.status, 200);
}
