//! What runs reach beyond their node: hosts that the module's manifest names and the node's operator allows, at public
//! addresses. Modules have no other way out than through this.

mod indexes;
mod public;
mod upstream;

use std::{
    collections::HashSet,
    fmt,
    io::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use url::Host;

use self::public::{is_own, is_public};
pub use self::upstream::Proxies;
use super::{Caller, Core, NodeError, Proof, runs::ActiveRun};
use crate::{
    module::{HostPattern, HostPatternError, Manifest, ModuleId, is_localhost},
    report::Reporter,
    wire::EventPayload,
};

/// Connections of one run at a time.
const CONNECTIONS: usize = 128;

/// Names that are looked up at a time, for one run and for all. Each takes a thread as long as it lasts.
const RUN_LOOKUPS: usize = 8;
const LOOKUPS: usize = 64;

/// How long it may take to find a host, and to connect to one of its addresses.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one host that are tried.
const ADDRESSES: usize = 8;

/// Denied hosts that a run's log names.
const TOLD: usize = 100;

/// What an operator lets modules reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressRule {
    /// `*`: whatever manifests name.
    Any,
    /// `none`: nothing, whatever else is allowed.
    Nothing,
    /// A host, or all below one.
    Host(HostPattern),
    /// This very address, by whatever name, also a private one; port 443 and 80 if none is given.
    Address(IpAddr, Option<u16>),
}

impl FromStr for EgressRule {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match text {
            "*" => Ok(EgressRule::Any),
            "none" => Ok(EgressRule::Nothing),
            _ => match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
                (Ok(address), _) => Ok(EgressRule::Address(address.ip().to_canonical(), Some(address.port()))),
                (_, Ok(ip)) => Ok(EgressRule::Address(ip.to_canonical(), None)),
                _ => text.parse().map(EgressRule::Host),
            },
        }
    }
}

/// Why a run is not connected to a host.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum EgressError {
    /// Its module does not name the host.
    #[error("`{place}` is not in `[permissions] hosts` of {module}: add `hosts = [\"{}\"]`", place.entry())]
    NotNamed { place: Place, module: ModuleId },
    /// The operator does not allow it.
    #[error("`{0}` is refused by this node's operator: `napt node --egress {entry}` would allow it", entry = .0.entry())]
    Operator(Place),
    /// It is named by its address.
    #[error("`{0}` is an address; a module reaches hosts by the names in its `[permissions] hosts`")]
    Address(Place),
    /// It is not in the public network.
    #[error("`{0}` is an address of a private network or of this machine, which modules do not reach")]
    Private(Place),
    /// It is not the name of a host.
    #[error("the request names no host")]
    NoHost,
    /// Nobody knows it.
    #[error("`{0}` is not found")]
    NotFound(Place),
    /// Nobody answers there.
    #[error("`{0}` does not answer: {1}")]
    Unreachable(Place, Error),
    /// Nobody answers in time.
    #[error("`{0}` does not answer in time")]
    Late(Place),
    /// The run has enough.
    #[error("this run has {CONNECTIONS} connections open, as many as it may")]
    TooMany,
}

impl EgressError {
    /// Whether it is forbidden.
    pub(in crate::node) fn is_denial(&self) -> bool {
        self.denied().is_some()
    }

    fn denied(&self) -> Option<&Place> {
        match self {
            EgressError::NotNamed { place, .. }
            | EgressError::Operator(place)
            | EgressError::Address(place)
            | EgressError::Private(place) => Some(place),
            _ => None,
        }
    }
}

/// A port of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::node) struct Place {
    /// In lower case, without a final dot.
    host: String,
    port: u16,
}

impl Place {
    /// As lists of hosts name it.
    fn entry(&self) -> String {
        HostPattern::naming(&self.host, self.port)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Finds the addresses of hosts.
#[async_trait]
trait Resolver: fmt::Debug + Send + Sync {
    async fn resolve(&self, place: &Place) -> std::io::Result<Vec<SocketAddr>>;
}

/// The machine's.
#[derive(Debug)]
struct System {
    lookups: Arc<Semaphore>,
}

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, place: &Place) -> std::io::Result<Vec<SocketAddr>> {
        // No server is asked for these, which might say anything.
        if is_localhost(&place.host) {
            let own: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(own.map(|ip| SocketAddr::new(ip, place.port)).to_vec());
        }
        let turn = self.lookups.clone().acquire_owned().await.map_err(Error::other)?;
        // URLs have addresses of the sixth version in brackets.
        let asked = (place.host.trim_matches(['[', ']']).to_owned(), place.port);
        let found = tokio::task::spawn_blocking(move || {
            let found = asked.to_socket_addrs();
            // Only now: nobody can end the thread before.
            drop(turn);
            found
        });
        Ok(found.await.map_err(Error::other)??.collect())
    }
}

/// What one run may reach, and has open.
#[derive(Debug)]
pub(super) struct RunEgress {
    /// Its module and the hosts that this names; nothing before it starts.
    named: OnceLock<(ModuleId, Vec<HostPattern>)>,
    connections: Arc<Semaphore>,
    lookups: Semaphore,
    /// What its log has been told of.
    told: Mutex<HashSet<Place>>,
}

impl Default for RunEgress {
    fn default() -> Self {
        RunEgress {
            named: OnceLock::new(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            lookups: Semaphore::new(RUN_LOOKUPS),
            told: Mutex::default(),
        }
    }
}

impl RunEgress {
    /// Lets a run reach what its module's manifest names.
    pub(super) fn open(&self, manifest: &Manifest) {
        // A run is of one module.
        let _ = self.named.set((manifest.id.clone(), manifest.permissions.hosts.clone()));
    }

    /// Whether its log has not been told of this yet, and is to be.
    fn is_news(&self, place: &Place) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD && told.insert(place.clone())
    }
}

/// A connection of a run.
#[derive(Debug)]
pub(in crate::node) struct Reached {
    pub(in crate::node) stream: TcpStream,
    /// One of those that the run may have; held as long as it is open.
    pub(in crate::node) permit: OwnedSemaphorePermit,
    /// Cancelled when the run ends.
    pub(in crate::node) ended: CancellationToken,
}

/// What the operator allows, and how to get there.
#[derive(Debug)]
pub(super) struct Egress {
    rules: Vec<EgressRule>,
    proxies: Proxies,
    resolver: Box<dyn Resolver>,
}

impl Egress {
    pub(super) fn new(rules: &[EgressRule], proxies: Proxies) -> Self {
        let rules = if rules.contains(&EgressRule::Nothing) { Vec::new() } else { rules.to_vec() };
        Egress { rules, proxies, resolver: Box::new(System { lookups: Arc::new(Semaphore::new(LOOKUPS)) }) }
    }

    /// Says what a module may reach, and what of that it will not.
    pub(super) fn tell(&self, manifest: &Manifest, reporter: &dyn Reporter) {
        let (id, hosts) = (&manifest.id, &manifest.permissions.hosts);
        if hosts.is_empty() {
            return;
        }
        let names: Vec<String> = hosts.iter().map(HostPattern::to_string).collect();
        reporter.step("Hosts", &format!("{id} may reach {}", names.join(", ")));
        for host in hosts.iter().filter(|host| !self.may_allow(host)) {
            reporter.warn(&format!(
                "{id} names `{host}`, which this node's operator refuses; `napt node --egress '{host}'` would allow it"
            ));
        }
    }

    /// Whether the operator allows any of the hosts that are named so.
    fn may_allow(&self, named: &HostPattern) -> bool {
        self.rules.iter().any(|rule| match rule {
            // What it stands for is known only once it is looked up.
            EgressRule::Any | EgressRule::Address(..) => true,
            EgressRule::Host(pattern) => pattern.overlaps(named),
            EgressRule::Nothing => false,
        })
    }

    /// Whether the operator allows a host by its name.
    fn allows(&self, place: &Place) -> bool {
        self.rules.iter().any(|rule| match rule {
            EgressRule::Any => true,
            EgressRule::Host(pattern) => pattern.matches(&place.host, place.port),
            EgressRule::Nothing | EgressRule::Address(..) => false,
        })
    }

    /// Whether the operator has named this very address.
    fn names(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.rules.iter().any(|rule| match rule {
            EgressRule::Address(own, Some(port)) => *own == ip && *port == address.port(),
            EgressRule::Address(own, None) => *own == ip && matches!(address.port(), 443 | 80),
            _ => false,
        })
    }

    /// Judges a host, and connects to an address that has been judged: it is looked up once.
    async fn connect(&self, run: &RunEgress, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| EgressError::NoHost)?;
        let place = Place { host: host.to_string(), port };
        let literal = match host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::from(ip)),
            Host::Ipv6(ip) => Some(IpAddr::from(ip)),
        };
        if let Some(ip) = literal {
            return Err(if is_public(ip) { EgressError::Address(place) } else { EgressError::Private(place) });
        }
        let (module, named) = run.named.get().ok_or(EgressError::NoHost)?;
        if !named.iter().any(|pattern| pattern.matches(&place.host, port)) {
            return Err(EgressError::NotNamed { place, module: module.clone() });
        }
        let allowed = self.allows(&place);
        if !allowed && !self.rules.iter().any(|rule| matches!(rule, EgressRule::Address(..))) {
            return Err(EgressError::Operator(place));
        }
        let looked_up = async {
            let _turn = run.lookups.acquire().await.map_err(Error::other)?;
            self.resolver.resolve(&place).await
        };
        let proxy = self.proxies.of(&place.host, port).filter(|_| allowed);
        let found = match timeout(LOOKUP_TIMEOUT, looked_up).await {
            Ok(Ok(found)) => found,
            // Behind a proxy, only that may know the names of others.
            _ if proxy.is_some() => Vec::new(),
            Ok(Err(_)) => return Err(EgressError::NotFound(place)),
            Err(_) => return Err(EgressError::Late(place)),
        };
        let is_good =
            |address: &SocketAddr| self.names(*address) || (allowed && is_public(address.ip()) && !is_own(*address));
        let good: Vec<SocketAddr> = found.iter().copied().filter(is_good).take(ADDRESSES).collect();
        if good.is_empty() && !found.is_empty() {
            return Err(if allowed { EgressError::Private(place) } else { EgressError::Operator(place) });
        }
        if let Some(proxy) = proxy.filter(|_| !good.iter().any(|address| self.names(*address))) {
            return match timeout(CONNECT_TIMEOUT, proxy.connect(&place, &good)).await {
                Ok(connected) => connected.map_err(|error| EgressError::Unreachable(place, error)),
                Err(_) => Err(EgressError::Late(place)),
            };
        }
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(&good[..])).await {
            Ok(connected) => connected.map_err(|error| EgressError::Unreachable(place, error)),
            Err(_) => Err(EgressError::Late(place)),
        }
    }
}

impl Core {
    /// The run that a proxy's client is.
    pub(in crate::node) async fn egress_of(&self, proof: Proof) -> Result<Arc<ActiveRun>, NodeError> {
        let refused = || NodeError::Unauthorised("only runs reach others through this node".to_owned());
        if !matches!(proof, Proof::Run(..)) {
            return Err(refused());
        }
        match self.authenticate(proof, ("", "", ""), "").await? {
            Caller::Run { run, .. } => self.active(&run).ok_or_else(refused),
            Caller::User(_) | Caller::Open => Err(refused()),
        }
    }

    /// Connects a run to a host. Its log is told of what is forbidden.
    pub(in crate::node) async fn reach(&self, run: &ActiveRun, host: &str, port: u16) -> Result<Reached, EgressError> {
        let permit = run.egress.connections.clone().try_acquire_owned().map_err(|_| EgressError::TooMany)?;
        let connected = self.egress.connect(&run.egress, host, port).await;
        if let Err(error) = &connected
            && error.denied().is_some_and(|place| run.egress.is_news(place))
        {
            let line = EventPayload::Line { stream: "stderr".to_owned(), text: format!("napt: {error}") };
            self.record(run, vec![(Timestamp::now(), line)]).await;
        }
        Ok(Reached { stream: connected?, permit, ended: run.cancel.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers each time with the next of its lists, and then with the last.
    #[derive(Debug)]
    struct Scripted(Vec<Vec<SocketAddr>>, Arc<AtomicUsize>);

    #[async_trait]
    impl Resolver for Scripted {
        async fn resolve(&self, _: &Place) -> std::io::Result<Vec<SocketAddr>> {
            let asked = self.1.fetch_add(1, Ordering::Relaxed);
            Ok(self.0[asked.min(self.0.len() - 1)].clone())
        }
    }

    fn rules(texts: &[&str]) -> Vec<EgressRule> {
        texts.iter().map(|text| text.parse().expect("a rule")).collect()
    }

    fn egress(allowed: &[&str], answers: Vec<Vec<SocketAddr>>) -> (Egress, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let egress = Egress::new(&rules(allowed), Proxies::default());
        (Egress { resolver: Box::new(Scripted(answers, asked.clone())), ..egress }, asked)
    }

    fn run(hosts: &[&str]) -> RunEgress {
        let hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect();
        RunEgress { named: OnceLock::from(("agent:x".parse().expect("an id"), hosts)), ..RunEgress::default() }
    }

    #[tokio::test]
    async fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
        let (good, bad) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (good, bad) = (good.expect("a port"), bad.expect("a port"));
        let (first, second) = (good.local_addr().expect("an address"), bad.local_addr().expect("an address"));
        let (egress, asked) = egress(&["*", &first.to_string()], vec![vec![first], vec![second]]);
        let run = run(&["a.example:9000"]);
        let reached = egress.connect(&run, "a.example", 9000).await.expect("the allowed one");
        assert_eq!((reached.peer_addr().expect("connected"), asked.load(Ordering::Relaxed)), (first, 1));
        // The next lookup says something else, and is judged anew.
        let error = egress.connect(&run, "a.example", 9000).await.expect_err("another address");
        assert!(matches!(error, EgressError::Private(_)), "{error}");
        assert!(tokio::time::timeout(Duration::from_millis(50), bad.accept()).await.is_err());
    }

    #[tokio::test]
    async fn a_proxy_is_told_the_address_that_was_judged() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxies = Proxies::new(Some(&format!("http://{}", proxy.local_addr().expect("an address"))), "");
        let (good, bad) = (SocketAddr::from(([1, 1, 1, 1], 443)), SocketAddr::from(([10, 0, 0, 1], 443)));
        let (egress, _) = egress(&["*"], vec![vec![bad, good], vec![bad], vec![]]);
        let (egress, run) = (Egress { proxies, ..egress }, run(&["a.example"]));
        let asked = async {
            let (mut stream, _) = proxy.accept().await.expect("a connection");
            let mut line = vec![0; 256];
            let read = stream.read(&mut line).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 fine\r\n\r\n").await.expect("answered");
            String::from_utf8_lossy(&line[..read]).lines().next().unwrap_or_default().to_owned()
        };
        let (asked, connected) = tokio::join!(asked, egress.connect(&run, "a.example", 443));
        connected.expect("connected");
        assert_eq!(asked, "CONNECT 1.1.1.1:443 HTTP/1.1");
        // Of an address that is refused, the proxy hears nothing.
        let error = egress.connect(&run, "a.example", 443).await.expect_err("private");
        assert!(matches!(error, EgressError::Private(_)), "{error}");
        assert!(tokio::time::timeout(Duration::from_millis(50), proxy.accept()).await.is_err());
    }

    #[tokio::test]
    async fn of_several_addresses_only_good_ones_are_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address");
        let mixed = vec!["169.254.169.254:80".parse().expect("an address"), own, SocketAddr::from(([10, 0, 0, 1], 80))];
        let (egress, _) = egress(&["*", &own.to_string()], vec![mixed]);
        let reached = egress.connect(&run(&["a.example"]), "A.example.", 80).await.expect("the good one");
        assert_eq!(reached.peer_addr().expect("connected"), own);
    }

    #[tokio::test]
    async fn what_may_not_be_reached_is_told_apart() {
        let private = || vec![vec![SocketAddr::from(([10, 0, 0, 1], 443))]];
        for (allowed, host, port, told) in [
            (&["*"][..], "b.example", 443, "is not in `[permissions] hosts` of agent:x: add `hosts = [\"b.example\"]`"),
            (&["*"], "a.example", 8443, "add `hosts = [\"a.example:8443\"]`"),
            (&["none"], "a.example", 443, "is refused by this node's operator"),
            (&["none", "*"], "a.example", 443, "is refused by this node's operator"),
            (&["*.other.example"], "a.example", 443, "is refused by this node's operator"),
            (&["10.0.0.2"], "a.example", 443, "is refused by this node's operator"),
            (&["*"], "a.example", 443, "`a.example:443` is an address of a private network"),
            (&["*"], "169.254.169.254", 80, "is an address of a private network"),
            (&["*"], "0x7f.1", 80, "`127.0.0.1:80` is an address of a private network"),
            (&["*"], "2130706433", 80, "`127.0.0.1:80` is an address of a private network"),
            (&["*"], "[::ffff:169.254.169.254]", 80, "is an address of a private network"),
            (&["*"], "1.1.1.1", 443, "`1.1.1.1:443` is an address; "),
            (&["127.0.0.1:80"], "127.0.0.1", 80, "is an address of a private network"),
            (&["*"], "a b", 443, "the request names no host"),
        ] {
            let (egress, _) = egress(allowed, private());
            let error = egress.connect(&run(&["a.example"]), host, port).await.expect_err(host);
            assert!(error.to_string().contains(told), "{host}: {error}");
        }
    }

    #[test]
    fn names_of_the_machine_are_asked_of_nobody() {
        let system = System { lookups: Arc::new(Semaphore::new(0)) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for name in ["localhost", "api.localhost"] {
            let place = Place { host: name.to_owned(), port: 80 };
            let found = runtime.block_on(system.resolve(&place)).expect("known");
            assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        }
    }

    #[tokio::test]
    async fn the_log_is_told_once_of_each() {
        let run = RunEgress::default();
        let place = |port| Place { host: "a".to_owned(), port };
        assert!(run.is_news(&place(80)) && !run.is_news(&place(80)) && run.is_news(&place(81)));
        assert_eq!((100..400).filter(|port| run.is_news(&place(*port))).count(), TOLD - 2);
    }
}
