//! What goes wrong between a project and a registry.

use std::time::Duration;

use napt::{
    adopt::AdoptError,
    dependencies::DependencyError,
    identity::StoreError,
    module::{GitSourceError, ProjectError},
    package::{ArchiveError, PackageError},
    publish::{Problem, PublishError, SessionError},
    registries::RegistriesError,
    registry::{RegistryError, StoreError as DatabaseError},
    report::{Failure, Kind},
    resolve::{LockError, ResolveError},
    sources::SourceError,
};
use napt_registry_client::ClientError;

use super::{disk, id, path, problem, req, room, toml_error, transport, version, words};

const URL: &str = "https://registry.example/";

fn client() -> ClientError {
    ClientError::Timeout { url: URL.to_owned() }
}

fn alone(problem: Problem) -> Failure {
    PublishError::Problems(vec![problem]).into()
}

room! { registry_client:
    ClientError [Failure::from] {
        ClientError::Unreachable { .. } => ClientError::Unreachable { url: URL.to_owned(), source: transport() },
        ClientError::Timeout { .. } => client(),
        ClientError::Status { .. } => ClientError::Status {
            url: URL.to_owned(),
            status: 429,
            problem: problem(429, "too many attempts from this address", None),
            retry_after: Some(Duration::from_secs(7)),
        },
        ClientError::Garbage { .. } => {
            ClientError::Garbage { url: URL.to_owned(), what: "the index comes as `text/html`, not as JSON".to_owned() }
        },
        ClientError::WrongDigest { .. } => ClientError::WrongDigest {
            what: "agent:a@0.1.0".to_owned(),
            expected: "0a".repeat(32),
            found: "0b".repeat(32),
        },
        ClientError::TooLarge { .. } => {
            ClientError::TooLarge { url: URL.to_owned(), what: "`agent:a@0.1.0`".to_owned(), limit: 52_428_800 }
        },
        ClientError::Io(_) => ClientError::Io(disk()),
    }
    RegistriesError [Failure::from] {
        RegistriesError::Client(_) => RegistriesError::Client(client()),
        RegistriesError::Io(_) => RegistriesError::Io(disk()),
        RegistriesError::NotKept { .. } => {
            RegistriesError::NotKept { what: "the index of `agent:a`".to_owned(), registry: URL.to_owned() }
        },
        RegistriesError::Offline { .. } => RegistriesError::Offline { registry: URL.to_owned() },
        RegistriesError::Unknown { .. } => {
            RegistriesError::Unknown { name: "intrnal".to_owned(), known: words(&["internal"]) }
        },
        RegistriesError::NoCache => RegistriesError::NoCache,
    }
    SessionError [Failure::from] {
        SessionError::Client(_) => SessionError::Client(client()),
        SessionError::Store(_) => SessionError::Store(StoreError::Credentials(path("config/credentials.toml"))),
        SessionError::NotAToken(_) => SessionError::NotAToken(URL.to_owned()),
    }
}

room! { publish:
    PublishError [Failure::from] {
        PublishError::Client(_) => PublishError::Client(client()),
        PublishError::Registries(_) => PublishError::Registries(RegistriesError::NoCache),
        PublishError::Project(_) => PublishError::Project(ProjectError::NotFound(path("/home/ada/notes"))),
        PublishError::Package { .. } => PublishError::Package {
            id: id("agent:a"),
            error: Box::new(PackageError::Refused(ArchiveError::TooMany { limit: 20_000 })),
        },
        PublishError::Io(_) => PublishError::Io(disk()),
        PublishError::NoCurrent => PublishError::NoCurrent,
        PublishError::Problems(_) => {
            PublishError::Problems(vec![Problem::Scope(id("agent:a")), Problem::Forbidden(id("agent:b"))])
        },
        PublishError::NotVisible { .. } => PublishError::NotVisible {
            id: id("agent:a"),
            version: version("0.1.0"),
            waited: Duration::from_secs(60),
        },
    }
    Problem [alone] {
        Problem::NotSignedIn(_) => Problem::NotSignedIn(URL.to_owned()),
        Problem::Scope(_) => Problem::Scope(id("agent:a")),
        Problem::NotOwner(_) => Problem::NotOwner(id("agent:a")),
        Problem::Dirty { .. } => Problem::Dirty {
            id: id("agent:a"),
            error: "1 file in the working directory is not committed".to_owned(),
        },
        Problem::Forbidden(_) => Problem::Forbidden(id("agent:a")),
        Problem::OtherRegistry { .. } => Problem::OtherRegistry {
            id: id("agent:a"),
            allowed: words(&["internal"]),
            registry: URL.to_owned(),
        },
        Problem::Cycle(_) => Problem::Cycle(vec![id("agent:a"), id("agent:b"), id("agent:a")]),
        Problem::Requirement { .. } => Problem::Requirement {
            id: id("orchestrator:o"),
            on: id("agent:a"),
            req: req("^0.2"),
            version: version("0.1.0"),
        },
        Problem::NoVersion { .. } => Problem::NoVersion { id: id("orchestrator:o"), on: id("agent:a") },
        Problem::Missing { .. } => Problem::Missing {
            id: id("orchestrator:o"),
            on: id("agent:a"),
            req: req("^0.2"),
            from: Some("internal".to_owned()),
            in_workspace: false,
        },
        Problem::UnknownRegistry { .. } => Problem::UnknownRegistry {
            id: id("orchestrator:o"),
            on: id("agent:a"),
            name: "intrnal".to_owned(),
            known: words(&["internal"]),
        },
        Problem::Conflict { .. } => Problem::Conflict {
            id: id("agent:a"),
            version: version("0.1.0"),
            ours: "0a".repeat(32),
            theirs: "0b".repeat(32),
            published: "2026-01-01T00:00:00Z".parse().expect("a time"),
        },
    }
}

room! { resolve:
    ResolveError [Failure::from] {
        ResolveError::Source { .. } => ResolveError::Source { id: id("agent:a"), error: Box::new(SourceError::NoGit) },
        ResolveError::Unknown { .. } => ResolveError::Unknown {
            id: id("agent:chater"),
            needed_by: Some(id("orchestrator:o")),
            near: Some("agent:chatter".to_owned()),
        },
        ResolveError::Conflict { .. } => ResolveError::Conflict {
            explanation: "  orchestrator:o needs agent:a ^1, and there is 0.1.0 alone".to_owned(),
        },
        ResolveError::Outdated { .. } => ResolveError::Outdated { changes: words(&["agent:a 0.1.0 → 0.2.0"]) },
        ResolveError::NoLock => ResolveError::NoLock,
        ResolveError::Changed { .. } => ResolveError::Changed {
            module: "agent:a 0.1.0".to_owned(),
            registry: URL.to_owned(),
            expected: "0a".repeat(32),
            found: "0b".repeat(32),
        },
        ResolveError::Registry { .. } => ResolveError::Registry {
            id: id("agent:a"),
            needed_by: "`orchestrator:o`".to_owned(),
            registry: "intrnal".to_owned(),
            known: words(&["internal"]),
        },
        ResolveError::TwoRegistries { .. } => ResolveError::TwoRegistries {
            id: id("agent:a"),
            registries: ["internal".to_owned(), "public".to_owned()],
        },
        ResolveError::NoVersion { .. } => ResolveError::NoVersion {
            id: id("agent:a"),
            version: version("0.3.0"),
            versions: vec![version("0.1.0"), version("0.2.0")],
        },
        ResolveError::Project(_) => ResolveError::Project(Box::new(ProjectError::NotFound(path("/home/ada/notes")))),
        ResolveError::Index { .. } => ResolveError::Index {
            id: id("agent:a"),
            kind: Kind::Network,
            hint: Some("try again later".to_owned()),
            error: Box::new(client()),
        },
    }
    LockError [Failure::from] {
        LockError::Io(_) => LockError::Io(disk()),
        LockError::Syntax { .. } => LockError::Syntax { path: path("napt.lock"), error: toml_error() },
        LockError::Format { .. } => LockError::Format { path: path("napt.lock"), found: 9 },
        LockError::Duplicate { .. } => LockError::Duplicate { path: path("napt.lock"), id: id("agent:a") },
        LockError::Write { .. } => LockError::Write {
            path: path("napt.lock"),
            error: toml::to_string(&()).expect_err("no table"),
        },
    }
    DependencyError [Failure::from] {
        DependencyError::Manifest(_) => {
            DependencyError::Manifest(napt::module::ManifestError::NoModule(path("m/napt.toml")))
        },
        DependencyError::Project(_) => DependencyError::Project(ProjectError::NotFound(path("/home/ada/notes"))),
        DependencyError::Registries(_) => DependencyError::Registries(RegistriesError::NoCache),
        DependencyError::Resolve(_) => DependencyError::Resolve(ResolveError::NoLock),
        DependencyError::Lock(_) => DependencyError::Lock(LockError::Format { path: path("napt.lock"), found: 9 }),
        DependencyError::NoModule { .. } => DependencyError::NoModule {
            id: id("agent:chater"),
            registry: URL.to_owned(),
            near: Some("agent:chatter".to_owned()),
        },
        DependencyError::NoVersion { .. } => DependencyError::NoVersion {
            id: id("agent:a"),
            registry: URL.to_owned(),
            req: req("^2"),
            versions: vec![version("0.1.0"), version("0.2.0")],
        },
        DependencyError::OtherModule { .. } => DependencyError::OtherModule {
            path: path("../b"),
            wanted: id("agent:a"),
            found: id("agent:b"),
        },
        DependencyError::OtherVersion { .. } => DependencyError::OtherVersion {
            path: path("../a"),
            id: id("agent:a"),
            req: req("^2"),
            version: version("0.1.0"),
        },
        DependencyError::Source(_) => SourceError::NoGit.into(),
        DependencyError::Itself(_) => DependencyError::Itself(id("agent:a")),
        DependencyError::Unnamed(_) => DependencyError::Unnamed(URL.to_owned()),
        DependencyError::Unknown { .. } => DependencyError::Unknown {
            given: "chater".to_owned(),
            place: "a dependency of `orchestrator:o`".to_owned(),
            known: words(&["agent:chatter"]),
        },
        DependencyError::Ambiguous { .. } => DependencyError::Ambiguous {
            given: "notes".to_owned(),
            known: words(&["kb:notes", "memory:notes"]),
        },
        DependencyError::Member(_) => DependencyError::Member(id("agent:a")),
    }
}

room! { registry:
    RegistryError [Failure::from] {
        RegistryError::Listen { .. } => RegistryError::Listen {
            address: ([127, 0, 0, 1], 7080).into(),
            error: std::io::Error::new(std::io::ErrorKind::AddrInUse, "Address already in use (os error 98)"),
        },
        RegistryError::NoUrl(_) => RegistryError::NoUrl(([0, 0, 0, 0], 7080).into()),
        RegistryError::NotARegistry(_) => RegistryError::NotARegistry(path("/srv/napt")),
        RegistryError::Locked(_) => RegistryError::Locked(path("/srv/napt")),
        RegistryError::Io(_) => RegistryError::Io(disk()),
        RegistryError::Store(_) => RegistryError::Store(DatabaseError::Full),
    }
    DatabaseError [|error: DatabaseError| Failure::from(RegistryError::Store(error))] {
        DatabaseError::Database(_) => DatabaseError::Database(sqlx::Error::PoolTimedOut),
        DatabaseError::Full => DatabaseError::Full,
        DatabaseError::Migration(_) => DatabaseError::Migration(sqlx::migrate::MigrateError::VersionMissing(9)),
        DatabaseError::Corrupt(_) => DatabaseError::Corrupt("`x` is not a version".to_owned()),
    }
}

const REPOSITORY: &str = "https://git.example/a/chat";
const PLACE: &str = "https://git.example/a/chat?tag=v0.1";

room! { sources:
    GitSourceError [Failure::from] {
        GitSourceError::Url(_) => GitSourceError::Url("chat".to_owned()),
        GitSourceError::Ipfs(_) => GitSourceError::Ipfs("ipfs://bafy".to_owned()),
        GitSourceError::Scheme { .. } => GitSourceError::Scheme {
            scheme: "git".to_owned(),
            url: "git://git.example/a/chat".to_owned(),
        },
        GitSourceError::Credential(_) => GitSourceError::Credential(REPOSITORY.to_owned()),
        GitSourceError::Reference(_) => GitSourceError::Reference("a..b".to_owned()),
        GitSourceError::Several(_) => GitSourceError::Several(["tag", "rev"]),
        GitSourceError::NoUrl(_) => GitSourceError::NoUrl("tag"),
    }
    SourceError [Failure::from] {
        SourceError::Source(_) => GitSourceError::Ipfs("ipfs://bafy".to_owned()).into(),
        SourceError::Io(_) => disk().into(),
        SourceError::NoGit => SourceError::NoGit,
        SourceError::NotAllowed { .. } => SourceError::NotAllowed {
            url: "file:///etc".to_owned(),
            scheme: "file".to_owned(),
            allowed: vec!["https", "ssh"],
        },
        SourceError::Private { .. } => SourceError::Private { url: REPOSITORY.to_owned(), output: String::new() },
        SourceError::Missing { .. } => SourceError::Missing { url: REPOSITORY.to_owned(), output: String::new() },
        SourceError::Unreachable { .. } => SourceError::Unreachable {
            url: REPOSITORY.to_owned(),
            output: "fatal: unable to access: Could not resolve host: git.example".to_owned(),
        },
        SourceError::Failed { .. } => SourceError::Failed {
            url: REPOSITORY.to_owned(),
            output: "fatal: the remote end hung up unexpectedly".to_owned(),
        },
        SourceError::Slow { .. } => SourceError::Slow {
            url: REPOSITORY.to_owned(),
            after: Duration::from_secs(300),
        },
        SourceError::TooLarge { .. } => SourceError::TooLarge {
            url: REPOSITORY.to_owned(),
            what: "what git fetches",
            limit: 1 << 30,
        },
        SourceError::TooMany { .. } => SourceError::TooMany { url: REPOSITORY.to_owned(), limit: 20_000 },
        SourceError::Empty(_) => SourceError::Empty(REPOSITORY.to_owned()),
        SourceError::NoReference { .. } => SourceError::NoReference {
            url: REPOSITORY.to_owned(),
            what: "tag",
            name: "v0.2".to_owned(),
            known: words(&["v0.1", "first"]),
        },
        SourceError::Unreadable { .. } => SourceError::Unreadable {
            url: REPOSITORY.to_owned(),
            reason: "its folders are too deep".to_owned(),
        },
        SourceError::NotKept(_) => SourceError::NotKept(PLACE.to_owned()),
        SourceError::NoModule { .. } => SourceError::NoModule {
            source_of: PLACE.to_owned(),
            wanted: Some(id("agent:chat")),
            found: words(&["agent:one", "kb:two"]),
        },
        SourceError::Several { .. } => SourceError::Several {
            source_of: PLACE.to_owned(),
            found: words(&["agent:one", "kb:two"]),
        },
        SourceError::Other { .. } => SourceError::Other {
            source_of: PLACE.to_owned(),
            wanted: id("agent:chat"),
            found: id("kb:chat"),
        },
        SourceError::Adopt { .. } => SourceError::Adopt {
            source_of: PLACE.to_owned(),
            error: Box::new(AdoptError::Unsure { name: "chat".to_owned(), clues: None }),
        },
        SourceError::Project { .. } => SourceError::Project {
            source_of: PLACE.to_owned(),
            error: Box::new(ProjectError::NotFound(path("chat"))),
        },
        SourceError::Package { .. } => SourceError::Package {
            source_of: PLACE.to_owned(),
            error: Box::new(PackageError::Secrets(vec![])),
        },
        SourceError::Archive(_) => ArchiveError::Truncated.into(),
    }
}
