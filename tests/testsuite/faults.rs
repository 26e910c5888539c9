//! Each network fault × each call of a client: success, or a clear error, and never something half done: with the fault gone
//! the same command succeeds, and registry and node are sound. What is said is in `tests/fixtures/faults/`.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use snapbox::{Data, assert_data_eq};
use url::Url;

use crate::support::{
    Ran, Sandbox,
    faults::{Faults, response},
    modules::{self, Python},
    node::{TestNode, cache},
    proxy::{Fault, FaultProxy},
    registry::{TestRegistry, limits},
};

/// Another host: it must never get a credential.
struct Elsewhere {
    server: Faults,
    credentials: Arc<AtomicUsize>,
}

impl Elsewhere {
    fn start() -> Self {
        let credentials = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&credentials);
        let server = Faults::start(move |_, head| {
            seen.fetch_add(usize::from(head.to_lowercase().contains("authorization")), Ordering::SeqCst);
            response("200 OK", "Content-Type: application/json\r\n", "{}")
        });
        Elsewhere { server, credentials }
    }
}

/// How patient a command is that meets a fault. Only slowness is waited for to its end.
fn hasty(fault: Fault) -> [(&'static str, &'static str); 2] {
    let timeout = if fault == Fault::Slow { "0.3" } else { "20" };
    [("NAPT_HTTP_TIMEOUT", timeout), ("NAPT_HTTP_RETRIES", "1")]
}

/// Exit code, message and causes, without what differs from one call or machine to the next.
fn told(ran: &Ran, proxy: &Url) -> String {
    if ran.code == Some(0) {
        return "0".to_owned();
    }
    let error = ran.stderr.lines().skip_while(|line| !line.starts_with("error: ")).take_while(|line| !line.is_empty());
    let text: Vec<&str> = error.map(str::trim).collect();
    let text = text.join("; ").replace(proxy.authority(), "HOST");
    // What the libraries below say depends on who was faster.
    let end =
        ["; caused by: error ", "; caused by: client error", " at line "].iter().filter_map(|it| text.find(it)).min();
    let mut shown = String::new();
    for word in text[..end.unwrap_or(text.len())].split_inclusive(' ') {
        let is_id = word.len() >= 32
            && word.trim_matches(['`', ';', ',', ' ', '.']).bytes().all(|byte| byte.is_ascii_hexdigit());
        match word.split_once("127.0.0.1:") {
            Some((before, _)) => shown.push_str(&format!("{before}ELSEWHERE ")),
            None if is_id => shown.push_str("ID "),
            None => shown.push_str(word),
        }
    }
    format!("{} {}", ran.code.expect("no signal"), shown.trim_end())
}

/// Takes an operation through all faults, met by every request and met once by each of `aims`, and compares what was said
/// with the book of it. `act` makes call number `n`, with some variables; `n` is another one after each success.
fn through_all(
    name: &str,
    (proxy, elsewhere): (&FaultProxy, &Elsewhere),
    aims: &[&'static str],
    act: impl Fn(usize, &[(&str, &str)]) -> Ran,
) {
    let mut book = String::new();
    let mut number = 0;
    for fault in Fault::ALL {
        let always = std::iter::once(("", usize::MAX));
        // When nobody listens, it is nobody for all.
        let once = aims.iter().map(|aim| (*aim, 1)).filter(|_| fault != Fault::Refused);
        for (aim, times) in always.chain(once) {
            proxy.spoil(fault, times, aim);
            let started = Instant::now();
            let ran = act(number, &hasty(fault));
            assert!(started.elapsed() < Duration::from_secs(20), "{name}, {fault:?}: {:?}", started.elapsed());
            assert!(!ran.stderr.contains("panicked"), "{name}, {fault:?}: {}", ran.stderr);
            assert!(times != 1 || proxy.left() == 0, "{name}, {fault:?}: no request has `{aim}`");
            let how = if times == 1 { format!("once by {}", aim.trim()) } else { "always".to_owned() };
            book.push_str(&format!("{fault:?}, {how}: {}\n", told(&ran, &proxy.url)));
            proxy.mend();
            act(number, &[]).expect(0);
            number += 1;
        }
    }
    assert_eq!(elsewhere.credentials.load(Ordering::SeqCst), 0, "{name}: a credential was sent to another host");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faults").join(format!("{name}.txt"));
    assert_data_eq!(book, Data::read_from(&path, None).raw());
}

/// A registry behind a proxy.
struct Behind {
    elsewhere: Elsewhere,
    proxy: FaultProxy,
    registry: TestRegistry,
    sandbox: Sandbox,
}

impl Behind {
    fn start() -> Self {
        let elsewhere = Elsewhere::start();
        let proxy = FaultProxy::start(&elsewhere.server.url);
        let registry = TestRegistry::known_as(Some(proxy.url.clone()), limits());
        proxy.stands_before(&registry.url);
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_REGISTRY", proxy.url.as_str());
        sandbox.set("NAPT_CACHE_DIR", &cache());
        sandbox.napt(&["login"]).expect(0);
        Behind { elsewhere, proxy, registry, sandbox }
    }

    /// Writes version number `n` of a data module.
    fn write(&self, number: usize) {
        modules::write(&self.sandbox, "d", "kb:d", &version(number), "");
    }

    fn through_all(&self, name: &str, aims: &[&'static str], act: impl Fn(usize, &[(&str, &str)]) -> Ran) {
        through_all(name, (&self.proxy, &self.elsewhere), aims, act);
    }

    /// Nothing in it is damaged or half there.
    fn expect_sound(mut self) {
        self.registry.stop();
        let data = self.registry.data().to_str().expect("UTF-8");
        let json =
            self.sandbox.napt(&["registry", "fsck", "--data", data, "--message-format", "json"]).expect(0).json();
        assert_eq!(json["data"]["notes"], serde_json::json!([]));
    }
}

fn version(number: usize) -> String {
    format!("1.{number}.0")
}

fn with(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    sandbox.run(sandbox.command(arguments).envs(variables.iter().copied()))
}

#[test]
fn login() {
    let scene = Behind::start();
    scene.through_all("login", &["accounts/challenge", "accounts "], |_, variables| {
        with(&scene.sandbox, &["login"], variables)
    });
    scene.expect_sound();
}

#[test]
fn publish() {
    let scene = Behind::start();
    scene.through_all("publish", &["GET /index/", "PUT "], |number, variables| {
        scene.write(number);
        with(&scene.sandbox, &["publish", "--no-verify", "-C", "d"], variables)
    });
    scene.expect_sound();
}

/// A node that fetches through the same proxy as the command that asks it to.
fn node_of(scene: &Behind, variables: &[(&str, &str)]) -> TestNode {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", scene.proxy.url.as_str());
    sandbox.set("NAPT_CACHE_DIR", sandbox.home().join("cache").to_str().expect("UTF-8"));
    variables.iter().for_each(|(name, value)| sandbox.set(name, value));
    TestNode::start_in(sandbox, &["--registry", scene.proxy.url.as_str()])
}

/// Deploys a module, with nothing of the registry's kept from before.
fn deploy_anew(node: &TestNode, module: &str, variables: &[(&str, &str)]) -> Ran {
    let cache = node.sandbox.home().join("cache");
    if cache.exists() {
        std::fs::remove_dir_all(cache).expect("a folder");
    }
    with(&node.sandbox, &["deploy", module], variables)
}

#[test]
fn resolve() {
    let scene = Behind::start();
    scene.write(0);
    scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    let node = node_of(&scene, &[]);
    scene.through_all("resolve", &["GET /index/"], |_, variables| deploy_anew(&node, "kb:d", variables));
    expect_sound_node(node);
    scene.expect_sound();
}

#[test]
fn download() {
    let scene = Behind::start();
    for number in 0..2 * Fault::ALL.len() {
        scene.write(number);
        scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    }
    // Its patience cannot change from call to call: two nodes.
    let (hasty, patient) = (node_of(&scene, &hasty(Fault::Slow)), node_of(&scene, &hasty(Fault::Refused)));
    scene.through_all("download", &["/download"], |number, variables| {
        let node = if variables.contains(&("NAPT_HTTP_TIMEOUT", "0.3")) { &hasty } else { &patient };
        deploy_anew(
            node,
            &format!("kb:d@={}", version(number)),
            &[("NAPT_HTTP_TIMEOUT", "2"), ("NAPT_HTTP_RETRIES", "1")],
        )
    });
    expect_sound_node(hasty);
    expect_sound_node(patient);
    scene.expect_sound();
}

#[test]
fn yank() {
    let scene = Behind::start();
    scene.write(0);
    scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    let arguments = ["yank", "kb:d@1.0.0", "--reason", "old"];
    scene.through_all("yank", &["PUT "], |_, variables| with(&scene.sandbox, &arguments, variables));
    assert!(scene.registry.index("kb:d").expect("a module").contains("\"yanked\":true"));
    scene.expect_sound();
}

/// A node behind a proxy, and what commands there are called with.
fn node_behind() -> (Elsewhere, FaultProxy, TestNode) {
    let elsewhere = Elsewhere::start();
    let proxy = FaultProxy::start(&elsewhere.server.url);
    let mut node = TestNode::start(&[]);
    proxy.stands_before(&node.url.parse().expect("a URL"));
    node.deploy(&Python::new("agent:a", "def run(module_run):\n    print('working')\n    return 'fine'\n"));
    node.sandbox.set("NAPT_NODE", proxy.url.as_str());
    (elsewhere, proxy, node)
}

fn expect_sound_node(mut node: TestNode) {
    node.kill();
    assert_eq!(node.fsck(), [""; 0]);
}

#[test]
fn deploy() {
    let (elsewhere, proxy, node) = node_behind();
    through_all(
        "deploy",
        (&proxy, &elsewhere),
        &["GET /v1/archives", "PUT /v1/archives", "POST /v1/deployments"],
        |number, variables| {
            modules::write(&node.sandbox, "d", "kb:d", &version(number), "");
            with(&node.sandbox, &["deploy", "d", "--no-verify"], variables)
        },
    );
    expect_sound_node(node);
}

#[test]
fn run() {
    let (elsewhere, proxy, node) = node_behind();
    through_all("run", (&proxy, &elsewhere), &["POST /v1/runs", "/events"], |_, variables| {
        with(&node.sandbox, &["run", "agent:a"], variables)
    });
    expect_sound_node(node);
}

#[test]
fn logs() {
    let (elsewhere, proxy, node) = node_behind();
    let user = node.user();
    let id = user.run("agent:a", serde_json::json!({})).id;
    through_all("logs", (&proxy, &elsewhere), &["/events"], |_, variables| {
        let ran = with(&node.sandbox, &["logs", &id], variables);
        if ran.code == Some(0) {
            assert_eq!(ran.stdout, "working\n", "all of it, and once");
        }
        ran
    });
    expect_sound_node(node);
}

#[test]
fn status() {
    let (elsewhere, proxy, node) = node_behind();
    through_all("status", (&proxy, &elsewhere), &["GET /v1/node"], |_, variables| {
        with(&node.sandbox, &["status"], variables)
    });
    expect_sound_node(node);
}
