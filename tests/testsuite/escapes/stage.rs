//! A node with two strangers on it, and all that one of them would like to have of the other and of the machine.

use std::{
    collections::BTreeSet,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use futures_util::StreamExt;
use napt::{
    client::NodeClient,
    identity::{CredentialStore, SecretKey},
    wire::{EventPayload, RunStatus, RunView},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Attack, PRELUDE};
use crate::support::{
    Sandbox,
    modules::Python,
    node::{TestNode, User, own_cache},
    processes::called_with,
    wait_for,
};

/// What all hostile modules may have, unless their row says otherwise.
const LIMITS: [&str; 2] = ["timeout = \"30s\"", "memory = \"256MiB\""];

/// What is left behind by modules that are not told a mark.
const IMPORT_MARK: &str = "napt-import-time-mark";

/// How every node here is started: where something is missing to shut modules in with, these tests say so.
pub const FLAGS: &[&str] = &["--require-sandbox"];

/// The `[limits]` of a module.
fn limits(own: &str) -> String {
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let common = LIMITS.iter().filter(|line| !own.lines().any(|own| key(own) == key(line)));
    common.copied().chain(own.lines()).fold("[limits]\n".to_owned(), |text, line| text + line + "\n")
}

/// One of the two, with a home of their own.
pub struct Person {
    pub sandbox: Sandbox,
    key: SecretKey,
}

impl Person {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let store = CredentialStore::new(sandbox.home().join("napt").join("config"));
        let key = store.key_or_create().expect("a key");
        Person { sandbox, key }
    }

    /// `user:` and a public key.
    pub fn id(&self) -> String {
        self.key.public().user_id()
    }

    fn user(&self, node: &TestNode) -> User {
        let client = NodeClient::new(node.url.parse().expect("a URL"), reqwest::Client::new(), self.key.clone());
        User { runtime: Runtime::new().expect("a runtime"), client }
    }
}

/// A text that nobody may find.
fn canary() -> String {
    format!("canary-{}", &SecretKey::generate().to_hex()[..32])
}

/// Servers of the machine that no module may reach: they are there, and nobody has ever come.
struct Bait {
    _folder: tempfile::TempDir,
    database: TcpListener,
    database6: Option<TcpListener>,
    datagrams: UdpSocket,
    sockets: Vec<(String, UnixListener)>,
    abstract_name: String,
}

impl Bait {
    fn new() -> Self {
        let folder = tempfile::TempDir::with_prefix("napt-bait-").expect("a folder");
        let database = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = database.local_addr().expect("an address").port();
        let abstract_name = format!("napt-bait-{}", &SecretKey::generate().to_hex()[..16]);
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let by_path = |name: &str| {
            let path = folder.path().join(name).to_string_lossy().into_owned();
            (path.clone(), UnixListener::bind(path).expect("a socket"))
        };
        let sockets = vec![
            by_path(".s.PGSQL.5432"),
            by_path("docker.sock"),
            (abstract_name.clone(), UnixListener::bind_addr(&address).expect("a socket")),
        ];
        let database6 = TcpListener::bind(("::1", port)).ok();
        let datagrams = UdpSocket::bind("0.0.0.0:0").expect("a port");
        database.set_nonblocking(true).expect("set");
        database6.iter().for_each(|listener| listener.set_nonblocking(true).expect("set"));
        datagrams.set_nonblocking(true).expect("set");
        sockets.iter().for_each(|(_, listener)| listener.set_nonblocking(true).expect("set"));
        Bait { _folder: folder, database, database6, datagrams, sockets, abstract_name }
    }

    /// Who has had a visitor.
    fn taken(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |who: &str, came: bool| found.extend(came.then(|| format!("{who} was reached")));
        note("the database", self.database.accept().is_ok());
        note("the database's IPv6 port", self.database6.as_ref().is_some_and(|listener| listener.accept().is_ok()));
        note("the datagrams' port", self.datagrams.recv(&mut [0; 64]).is_ok());
        self.sockets.iter().for_each(|(name, listener)| note(name, listener.accept().is_ok()));
        found
    }
}

/// A run that only keeps a diary, and says whether it is left alone.
struct Diary {
    user: User,
    run: RunView,
    /// What attackers know of it.
    known: Value,
}

impl Diary {
    fn start(person: &Person, node: &TestNode) -> Self {
        let user = person.user(node);
        let name = format!("d-{}", &SecretKey::generate().to_hex()[..12]);
        let run = user.start("agent:diary", json!({ "canary": canary(), "name": name }));
        let mut known: Value = serde_json::from_str(&user.line(&run.id, "place")).expect("JSON");
        known["run"] = json!(run.id);
        known["pid"] = json!(wait_for("its process", || named(&name)));
        Diary { user, run, known }
    }

    /// Waits for what it says from now on.
    fn disturbed(&self) -> Option<String> {
        let before = self.user.events(&self.run.id, 0, false).last().map_or(0, |event| event.seq);
        let said = self.user.runtime.block_on(async {
            let mut events = Box::pin(self.user.client.events(&self.run.id, before, true).await.expect("events"));
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), events.next());
            next.await.map(|event| event.map(|event| event.expect("an event").payload))
        });
        match said {
            Ok(Some(EventPayload::Line { text, .. })) if text.starts_with("intact") => None,
            other => Some(format!("another run was disturbed: {other:?} {:?}", self.user.view(&self.run.id).error)),
        }
    }
}

/// The process that has given itself a name.
fn named(name: &str) -> Option<u32> {
    std::fs::read_dir("/proc").expect("processes").find_map(|entry| {
        let entry = entry.ok()?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        (comm.trim() == name).then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

/// The node, its two users, and what there is to be had.
pub struct Stage {
    node: TestNode,
    hostile: Person,
    honest: Person,
    bait: Bait,
    sibling: Diary,
    stranger: Diary,
    /// The credential of a run that is over.
    ended: String,
    /// What must stay as it is, with its content.
    kept: Vec<(PathBuf, String)>,
    /// What detached processes are called with.
    mark: String,
}

/// Tells its credential, for after its end.
const LEAVER: &str = "import os\n\n\ndef run(module_run):\n    return os.environ['NAPT_RUN_TOKEN'][::-1]\n";

impl Stage {
    /// Everything that these attacks need.
    pub fn with(attacks: &[Attack]) -> Self {
        Self::of(attacks, &[], "")
    }

    /// The same, where hostile modules share an interpreter from one run to the next.
    pub fn shared(attacks: &[Attack]) -> Self {
        Self::of(attacks, &["--allow-shared"], "isolation = \"shared\"\n")
    }

    fn of(attacks: &[Attack], flags: &[&str], isolation: &str) -> Self {
        let (hostile, honest) = (Person::new(), Person::new());
        let mut sandbox = Sandbox::new();
        own_cache(&mut sandbox);
        let users = ["--user", &hostile.id(), "--user", &honest.id()];
        let node = TestNode::start_in(sandbox, &[FLAGS, flags, &users].concat());
        let kept: Vec<(PathBuf, String)> = [
            node.sandbox.home().join(".ssh/id_ed25519"),
            node.data().join("storage/canary.txt"),
            node.data().join("canary.txt"),
        ]
        .map(|path| (path, canary()))
        .into();
        for (path, text) in &kept {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let (hostile, honest) = [hostile, honest]
            .map(|mut person| {
                person.sandbox.set("NAPT_NODE", &node.url);
                person
            })
            .into();
        let secret = honest.sandbox.write("secret", canary());
        let mut set = honest.sandbox.command(&["secret", "set", "HONEST_SECRET"]);
        honest.sandbox.run(set.stdin(Stdio::from(std::fs::File::open(secret).expect("a file")))).expect(0);
        std::fs::remove_file(honest.sandbox.work().join("secret")).expect("it is there");
        deploy(
            &honest.sandbox,
            "house",
            &[("honest", include_str!("modules/honest.py"), ""), ("diary", include_str!("modules/diary.py"), "")],
        );
        let mut modules =
            vec![("diary", include_str!("modules/diary.py"), "".to_owned()), ("leaver", LEAVER, String::new())];
        for attack in attacks {
            if !modules.iter().any(|(name, ..)| *name == attack.name) {
                modules.push((attack.name, attack.code, limits(&format!("{}{isolation}", attack.limits))));
            }
        }
        let modules: Vec<(&str, &str, &str)> =
            modules.iter().map(|(name, code, more)| (*name, *code, more.as_str())).collect();
        deploy(&hostile.sandbox, "mob", &modules);
        let left = hostile.user(&node).run("agent:leaver", json!({}));
        let ended = left.result.unwrap_or_else(|| panic!("{:?}", left.error)).chars().rev().collect();
        let [sibling, stranger] = [&hostile, &honest].map(|person| Diary::start(person, &node));
        let mark = format!("napt-mark-{}", &SecretKey::generate().to_hex()[..16]);
        Stage { node, hostile, honest, bait: Bait::new(), sibling, stranger, ended, kept, mark }
    }

    /// What an attacker may know at best.
    fn known(&self) -> Value {
        let data = self.node.data();
        let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("an address").port();
        json!({
            "node_pid": self.node.pid(),
            "pid_namespace": std::fs::read_link("/proc/self/ns/pid").expect("a namespace"),
            "data": data,
            "home": self.node.sandbox.home(),
            "cache": self.node.sandbox.home().join("cache"),
            "database": port(self.bait.database.local_addr()),
            "datagrams": port(self.bait.datagrams.local_addr()),
            "database_socket": self.bait.sockets[0].0,
            "docker_socket": self.bait.sockets[1].0,
            "abstract": self.bait.abstract_name,
            "lan": own_address(),
            "sibling": self.sibling.known,
            "stranger": self.stranger.known,
            "ended": self.ended,
            "honest_user": self.honest.id(),
            "mark": self.mark,
        })
    }

    /// Runs it to its end.
    pub fn run(&self, attack: &Attack) -> RunView {
        let more = if attack.inputs.is_empty() { "{}" } else { attack.inputs };
        self.start(&format!("agent:{}", attack.name), &serde_json::from_str(more).expect("JSON"))
    }

    /// Runs a module of the attacker's to its end, with all that attackers know, and more.
    pub fn start(&self, module: &str, more: &Value) -> RunView {
        let mut inputs = self.known();
        let all = inputs.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        self.hostile.user(&self.node).run(module, inputs)
    }

    /// What a run has done to others.
    pub fn harm(&self, run: &RunView) -> Vec<String> {
        let mut found = self.bait.taken();
        let honest = self.honest.user(&self.node).run("agent:honest", json!({}));
        if honest.result.as_deref() != Some("fine 42") {
            found.push(format!("an honest run ended so: {:?} {:?}", honest.result, honest.error));
        }
        found.extend([&self.sibling, &self.stranger].into_iter().filter_map(Diary::disturbed));
        for (path, text) in &self.kept {
            if std::fs::read_to_string(path).ok().as_ref() != Some(text) {
                found.push(format!("`{}` was changed", path.display()));
            }
        }
        found.extend(
            below(&self.node.data().join("scratch"), 2)
                .into_iter()
                .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&run.id)))
                .map(|path| format!("its scratch is left: {}", path.display())),
        );
        let left = [self.mark.as_str(), IMPORT_MARK].map(called_with);
        found.extend(left.iter().flatten().map(|pid| format!("its process {pid} is left")));
        found
    }

    /// Ends it all, and gives what is wrong at the end.
    pub fn end(self) -> Vec<String> {
        let mut found = Vec::new();
        for diary in [&self.sibling, &self.stranger] {
            let status = diary.user.view(&diary.run.id).status;
            if status != RunStatus::Processing {
                found.push(format!("a run that did nothing to end is {status:?}"));
            }
            diary.user.cancel(&diary.run.id);
            diary.user.ended(&diary.run.id);
        }
        found
    }

    /// The attacker's home; commands in it talk to the node.
    pub fn attacker(&self) -> &Sandbox {
        &self.hostile.sandbox
    }
}

/// Deploys modules as what one orchestrator depends on.
fn deploy(sandbox: &Sandbox, name: &str, modules: &[(&str, &str, &str)]) {
    let mut more = "[dependencies]\n".to_owned();
    let mut members = vec![name];
    for (module, code, manifest) in modules {
        let (id, run) = (format!("agent:{module}"), format!("{PRELUDE}\n\n{code}"));
        Python { more: manifest, ..Python::new(&id, &run) }.write(sandbox);
        more += &format!("\"{id}\" = {{ path = \"../{module}\", version = \"0.1\" }}\n");
        members.push(module);
    }
    let id = format!("orchestrator:{name}");
    Python { more: &more, ..Python::new(&id, "def run(module_run):\n    return 'none'\n") }.write(sandbox);
    sandbox.write("napt.toml", format!("[workspace]\nmembers = {members:?}\n"));
    sandbox.napt(&["deploy", "-m", &id, "--no-verify"]).expect(0);
}

/// The address of this machine in its network, if it has one. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// All below a folder, so many levels down.
fn below(folder: &Path, levels: usize) -> BTreeSet<PathBuf> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let deeper =
        entries.iter().filter(|path| levels > 1 && !path.is_symlink()).flat_map(|path| below(path, levels - 1));
    let deeper: Vec<PathBuf> = deeper.collect();
    entries.into_iter().chain(deeper).collect()
}
