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

use napt_registry_client::Policy;
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

/// Exit code, message and causes, without what differs from one call to the next.
fn told(ran: &Ran, proxy: &Url) -> String {
    let error = ran.stderr.lines().skip_while(|line| !line.starts_with("error: ")).take_while(|line| !line.is_empty());
    let text: Vec<&str> = error.map(str::trim).collect();
    let text = text.join("; ").replace(proxy.authority(), "HOST");
    let mut shown = String::new();
    for word in text.split(' ') {
        // Ids of runs, digests, other ports.
        let is_noise =
            word.len() >= 32 && word.trim_matches(['`', ';', ',']).bytes().all(|byte| byte.is_ascii_hexdigit());
        let word = match word.split_once("127.0.0.1:") {
            Some((before, _)) => format!("{before}ELSEWHERE`"),
            None if is_noise => "…".to_owned(),
            None => word.to_owned(),
        };
        shown.push_str(&word);
        shown.push(' ');
    }
    match ran.code {
        Some(0) => "0".to_owned(),
        code => format!("{} {}", code.expect("no signal"), shown.trim_end()),
    }
}

/// Takes an operation through all faults, met always and met once, and compares what was said with the book of it.
/// `act` makes call number `n`, with some variables; `n` is another one after each success.
fn through_all(name: &str, proxy: &FaultProxy, elsewhere: &Elsewhere, act: impl Fn(usize, &[(&str, &str)]) -> Ran) {
    let mut book = String::new();
    let mut number = 0;
    for fault in Fault::ALL {
        for (how, times) in [("always", usize::MAX), ("once", 1)] {
            // Nobody listens for a moment: a moment too short to be met once.
            if fault == Fault::Refused && times == 1 {
                continue;
            }
            proxy.spoil(fault, times);
            let started = Instant::now();
            let ran = act(number, &hasty(fault));
            assert!(started.elapsed() < Duration::from_secs(20), "{name}, {fault:?}: {:?}", started.elapsed());
            assert!(!ran.stderr.contains("panicked"), "{name}, {fault:?}: {}", ran.stderr);
            book.push_str(&format!("{fault:?} {how}: {}\n", told(&ran, &proxy.url)));
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

    fn through_all(&self, name: &str, act: impl Fn(usize, &[(&str, &str)]) -> Ran) {
        through_all(name, &self.proxy, &self.elsewhere, act);
    }

    /// Nothing in it is damaged or half there.
    fn is_sound(mut self) {
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
    scene.through_all("login", |_, variables| with(&scene.sandbox, &["login"], variables));
    scene.is_sound();
}

#[test]
fn publish() {
    let scene = Behind::start();
    scene.through_all("publish", |number, variables| {
        scene.write(number);
        with(&scene.sandbox, &["publish", "--no-verify", "-C", "d"], variables)
    });
    scene.is_sound();
}

#[test]
fn resolve() {
    let scene = Behind::start();
    scene.write(0);
    scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    let mut node = TestNode::start_in(copy_of(&scene.sandbox), &["--registry", scene.registry.url.as_str()]);
    scene.through_all("resolve", |_, variables| with(&node.sandbox, &["deploy", "kb:d"], variables));
    node.kill();
    assert_eq!(node.fsck(), [""; 0]);
    scene.is_sound();
}

/// Another home with the same settings.
fn copy_of(sandbox: &Sandbox) -> Sandbox {
    let mut copy = Sandbox::new();
    for name in ["NAPT_REGISTRY", "NAPT_CACHE_DIR"] {
        copy.set(name, &sandbox.variable(name).expect("it is set"));
    }
    copy
}

#[test]
fn download() {
    let scene = Behind::start();
    for number in 0..2 * Fault::ALL.len() {
        scene.write(number);
        scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    }
    // Its patience cannot change from call to call: two nodes.
    let start = |fault| {
        let mut sandbox = copy_of(&scene.sandbox);
        hasty(fault).iter().for_each(|(name, value)| sandbox.set(name, value));
        TestNode::start_in(sandbox, &["--registry", scene.proxy.url.as_str()])
    };
    let (mut hasty, mut patient) = (start(Fault::Slow), start(Fault::Refused));
    scene.through_all("download", |number, variables| {
        let is_slow = variables.contains(&("NAPT_HTTP_TIMEOUT", "0.3"));
        let node = if is_slow { &hasty } else { &patient };
        let module = format!("kb:d@={}", version(number));
        // The command itself asks the registry directly.
        let arguments = ["deploy", &module, "--registry", scene.registry.url.as_str()];
        node.sandbox.run(node.sandbox.command(&arguments).env("NAPT_HTTP_TIMEOUT", "20"))
    });
    for node in [&mut hasty, &mut patient] {
        node.kill();
        assert_eq!(node.fsck(), [""; 0]);
    }
    scene.is_sound();
}

#[test]
fn yank() {
    let scene = Behind::start();
    scene.write(0);
    scene.sandbox.napt(&["publish", "--no-verify", "-C", "d"]).expect(0);
    let credentials = napt::identity::CredentialStore::new(scene.sandbox.home().join("napt").join("config"));
    let token = credentials.registry_token(scene.proxy.url.as_str()).expect("credentials").expect("a token");
    let client = |variables: &[(&str, &str)]| {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let client =
            napt_registry_client::RegistryClient::new(scene.proxy.url.clone(), http, Some(token.reveal().to_owned()));
        let seconds = variables.first().map_or(20.0, |(_, value)| value.parse().expect("seconds"));
        client.with_policy(Policy { tries: 2, call_timeout: Duration::from_secs_f64(seconds), ..Policy::default() })
    };
    scene.through_all("yank", |_, variables| {
        let result =
            scene.registry.block_on(client(variables).yank("kb", "d", &semver::Version::new(1, 0, 0), Some("old")));
        match result.map_err(napt::report::Failure::from) {
            Ok(()) => Ran { code: Some(0), stdout: String::new(), stderr: String::new() },
            Err(failure) => Ran {
                code: Some(failure.kind.exit_code().into()),
                stdout: String::new(),
                stderr: format!("error: {}\n\n", failure.messages().join("\n")),
            },
        }
    });
    assert!(scene.registry.index("kb:d").expect("a module").contains("\"yanked\":true"));
    scene.is_sound();
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

fn node_is_sound(mut node: TestNode) {
    node.kill();
    assert_eq!(node.fsck(), [""; 0]);
}

#[test]
fn deploy() {
    let (elsewhere, proxy, node) = node_behind();
    through_all("deploy", &proxy, &elsewhere, |number, variables| {
        modules::write(&node.sandbox, "d", "kb:d", &version(number), "");
        with(&node.sandbox, &["deploy", "d", "--no-verify"], variables)
    });
    node_is_sound(node);
}

#[test]
fn run() {
    let (elsewhere, proxy, node) = node_behind();
    through_all("run", &proxy, &elsewhere, |_, variables| with(&node.sandbox, &["run", "agent:a"], variables));
    node_is_sound(node);
}

#[test]
fn logs() {
    let (elsewhere, proxy, node) = node_behind();
    let user = node.user();
    let id = user.run("agent:a", serde_json::json!({})).id;
    through_all("logs", &proxy, &elsewhere, |_, variables| {
        let ran = with(&node.sandbox, &["logs", &id], variables);
        if ran.code == Some(0) {
            assert_eq!(ran.stdout, "working\n", "all of it, and once");
        }
        ran
    });
    node_is_sound(node);
}

#[test]
fn status() {
    let (elsewhere, proxy, node) = node_behind();
    through_all("status", &proxy, &elsewhere, |_, variables| with(&node.sandbox, &["status"], variables));
    node_is_sound(node);
}
