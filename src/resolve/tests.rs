//! Resolution against an index in memory, and against a solver that tries everything.

use proptest::prelude::*;
use snapbox::{assert_data_eq, str};

use super::*;
use crate::report::Fault;

#[derive(Debug, Clone, Default)]
struct Memory(BTreeMap<ModuleId, Vec<Candidate>>);

#[async_trait]
impl Index for Memory {
    fn registry(&self, name: Option<&str>) -> Option<String> {
        let address = format!("https://{}.example", name.unwrap_or("registry"));
        name.is_none_or(|name| name != "nowhere").then_some(address)
    }

    fn names(&self) -> Vec<String> {
        vec!["internal".to_owned()]
    }

    async fn versions(&self, id: &ModuleId, registry: &str) -> Result<Vec<Candidate>, ResolveError> {
        let all = self.0.get(id).cloned().unwrap_or_default();
        Ok(all.into_iter().filter(|candidate| candidate.registry == registry).collect())
    }
}

fn id(text: &str) -> ModuleId {
    text.parse().expect("an id")
}

/// `agent:chat ^1`, or `agent:chat ^1 from internal`.
fn needs(text: &[&str]) -> Vec<Need> {
    let need = |text: &&str| {
        let (text, registry) = text.split_once(" from ").map_or((*text, None), |(text, name)| (text, Some(name)));
        let (module, req) = text.split_once(' ').expect("an id and a requirement");
        Need {
            id: id(module),
            req: req.parse().expect("a requirement"),
            registry: registry.map(str::to_owned),
            git: None,
        }
    };
    text.iter().map(need).collect()
}

impl Memory {
    fn with(mut self, module: &str, version: &str, dependencies: &[&str]) -> Self {
        self.0.entry(id(module)).or_default().push(Candidate {
            version: version.parse().expect("a version"),
            dependencies: needs(dependencies),
            registry: "https://registry.example".to_owned(),
            git: None,
            sha256: format!("{module}-{version}"),
            yanked: false,
            yank_reason: None,
        });
        self
    }

    /// A version in the registry `internal`.
    fn with_internal(mut self, module: &str, version: &str, dependencies: &[&str]) -> Self {
        self = self.with(module, version, dependencies);
        let candidate = self.0.get_mut(&id(module)).and_then(|all| all.last_mut()).expect("it was just added");
        candidate.registry = "https://internal.example".to_owned();
        candidate.sha256.push_str("-internal");
        self
    }

    fn yanked(mut self, module: &str, version: &str) -> Self {
        let version: Version = version.parse().expect("a version");
        let candidates = self.0.get_mut(&id(module)).expect("a module");
        candidates.iter_mut().filter(|candidate| candidate.version == version).for_each(|c| c.yanked = true);
        self
    }

    fn resolve(&self, request: Request) -> Result<Lock, ResolveError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(resolve(request, self))
    }
}

fn asking(roots: &[&str]) -> Request {
    Request { roots: needs(roots), ..Request::default() }
}

fn member(module: &str, version: &str, dependencies: &[&str]) -> Member {
    Member { id: id(module), version: version.parse().expect("a version"), dependencies: needs(dependencies) }
}

fn versions(lock: &Lock) -> Vec<String> {
    lock.modules.iter().map(|module| format!("{}@{}", module.id, module.version)).collect()
}

fn told(error: &ResolveError) -> String {
    format!("{error}\nhint: {}", error.hint().unwrap_or_default())
}

fn chat() -> Memory {
    Memory::default()
        .with("agent:chat", "1.0.0", &["kb:facts ^1"])
        .with("agent:chat", "1.1.0", &["kb:facts ^1.2"])
        .with("agent:chat", "2.0.0-rc.1", &["kb:facts ^2"])
        .with("kb:facts", "1.0.0", &[])
        .with("kb:facts", "1.2.0", &[])
        .with("kb:facts", "2.0.0", &[])
}

#[test]
fn the_highest_versions_that_fit_are_taken() {
    let lock = chat().resolve(asking(&["agent:chat ^1"])).expect("a solution");
    assert_eq!(versions(&lock), ["agent:chat@1.1.0", "kb:facts@1.2.0"]);
    assert_eq!(lock.modules[0].dependencies, [id("kb:facts")]);
    assert_eq!(lock.modules[1].sha256.as_deref(), Some("kb:facts-1.2.0"));
}

#[test]
fn a_pre_release_is_taken_only_where_it_is_asked_for() {
    assert_eq!(versions(&chat().resolve(asking(&["agent:chat *"])).expect("a solution"))[0], "agent:chat@1.1.0");
    let lock = chat().resolve(asking(&["agent:chat ^2.0.0-rc.1"])).expect("a solution");
    assert_eq!(versions(&lock), ["agent:chat@2.0.0-rc.1", "kb:facts@2.0.0"]);
}

#[test]
fn an_older_version_is_taken_when_a_newer_one_does_not_go() {
    let lock = chat().resolve(asking(&["agent:chat ^1", "kb:facts =1.0.0"])).expect("a solution");
    assert_eq!(versions(&lock), ["agent:chat@1.0.0", "kb:facts@1.0.0"]);
}

#[test]
fn what_is_locked_stays_while_it_fits() {
    let index = chat();
    let lock = index.resolve(asking(&["agent:chat =1.0.0", "kb:facts =1.0.0"])).expect("a solution");
    let kept = index.resolve(Request { lock: Some(lock.clone()), ..asking(&["agent:chat ^1"]) }).expect("a solution");
    assert_eq!(kept, lock);
    let moved = index.resolve(Request { lock: Some(lock), ..asking(&["agent:chat ^1.1"]) }).expect("a solution");
    assert_eq!(versions(&moved), ["agent:chat@1.1.0", "kb:facts@1.2.0"]);
}

#[test]
fn a_yanked_version_is_taken_only_when_it_is_locked() {
    let before = chat().resolve(asking(&["agent:chat ^1"])).expect("a solution");
    let index = chat().yanked("agent:chat", "1.1.0");
    let fresh = index.resolve(asking(&["agent:chat ^1"])).expect("a solution");
    assert_eq!(versions(&fresh)[0], "agent:chat@1.0.0");
    let kept = index.resolve(Request { lock: Some(before.clone()), ..asking(&["agent:chat ^1"]) }).expect("a solution");
    assert_eq!(kept, before);
}

fn sources(lock: &Lock) -> Vec<(String, &str)> {
    lock.modules.iter().map(|one| (one.id.to_string(), one.registry.as_deref().unwrap_or_default())).collect()
}

#[test]
fn a_module_comes_from_the_registry_that_is_named_and_what_it_needs_from_there_too() {
    let index = Memory::default()
        .with("agent:chat", "1.9.0", &[])
        .with("kb:facts", "1.9.0", &[])
        .with("tool:search", "1.0.0", &[])
        .with_internal("agent:chat", "1.0.0", &["kb:facts ^1", "tool:search ^1 from registry"])
        .with_internal("kb:facts", "1.0.0", &[]);
    let lock = index.resolve(asking(&["agent:chat ^1 from internal"])).expect("a solution");
    let (internal, default) = ("https://internal.example", "https://registry.example");
    let expected = [("agent:chat", internal), ("tool:search", default), ("kb:facts", internal)];
    assert_eq!(sources(&lock), expected.map(|(id, registry)| (id.to_owned(), registry)));
    assert_eq!(lock.get(&id("agent:chat")).expect("locked").sha256.as_deref(), Some("agent:chat-1.0.0-internal"));

    // The same name in the default registry is another module: what is locked of one says nothing of the other.
    let moved = index.resolve(Request { lock: Some(lock), ..asking(&["agent:chat ^1"]) }).expect("a solution");
    assert_eq!(versions(&moved), ["agent:chat@1.9.0"]);
}

#[test]
fn one_module_from_two_registries_is_refused() {
    let index = Memory::default()
        .with("agent:chat", "1.0.0", &["kb:facts ^1"])
        .with("kb:facts", "1.0.0", &[])
        .with_internal("kb:facts", "1.0.0", &[]);
    let error = index.resolve(asking(&["agent:chat ^1", "kb:facts ^1 from internal"])).expect_err("two of them");
    assert_data_eq!(
        told(&error),
        str![[r#"
`kb:facts` is needed from two places: `https://internal.example` and `https://registry.example`
hint: let all that need it name the same `registry`: they may be different modules
"#]]
    );
}

#[test]
fn a_registry_that_has_no_name_here_is_an_error_and_never_another_one() {
    let error = chat().resolve(asking(&["agent:chat ^1 from nowhere"])).expect_err("no such registry");
    assert_data_eq!(
        told(&error),
        str![[r#"
the command needs the registry `nowhere`, and no registry is called that
hint: the registries are `internal`; `[registries.nowhere]` with its `url` in `.napt/config.toml` adds one
"#]]
    );
    let index = chat().with("agent:far", "1.0.0", &["kb:facts ^1 from nowhere"]);
    let error = index.resolve(asking(&["agent:far ^1"])).expect_err("no such registry");
    assert!(error.to_string().starts_with("`agent:far@1.0.0` needs the registry `nowhere`"), "{error}");
    // An older version that can be had is taken instead.
    let index = index.with("agent:far", "0.9.0", &["kb:facts ^1"]);
    let lock = index.resolve(asking(&["agent:far *"])).expect("a solution");
    assert_eq!(versions(&lock), ["agent:far@0.9.0", "kb:facts@1.2.0"]);
}

#[test]
fn a_precise_version_is_taken_even_when_it_is_yanked() {
    let index = chat().yanked("kb:facts", "1.0.0");
    let precise = |version: &str| Some((id("kb:facts"), version.parse().expect("a version")));
    let request = Request { precise: precise("1.0.0"), ..asking(&["kb:facts ^1"]) };
    assert_eq!(versions(&index.resolve(request).expect("a solution")), ["kb:facts@1.0.0"]);
    let error = index.resolve(Request { precise: precise("1.5.0"), ..asking(&["kb:facts ^1"]) }).expect_err("none");
    assert_data_eq!(
        told(&error),
        str![[r#"
there is no version 1.5.0 of `kb:facts`
hint: the versions are 1.0.0, 1.2.0, 2.0.0
"#]]
    );
}

#[test]
fn a_lock_that_cannot_be_written_is_named() {
    let error = Lock::default().write(std::path::Path::new("/nowhere")).expect_err("there is no such folder");
    assert_eq!(error.to_string(), "cannot write `/nowhere/napt.lock`: No such file or directory (os error 2)");
}

#[test]
fn a_lock_that_fits_needs_no_index() {
    let index = chat();
    let debate = |needs: &[&str]| vec![member("orchestrator:debate", "0.1.0", needs)];
    let request = Request { members: debate(&["agent:chat ^1"]), ..Request::default() };
    let lock = index.resolve(request.clone()).expect("a solution");
    let with = |lock: &Lock, members| Request { members, lock: Some(lock.clone()), ..Request::default() };
    assert_eq!(with(&lock, debate(&["agent:chat ^1"])).satisfied(&index), Some(lock.clone()));
    // What is not needed any more is left out of it.
    let more =
        Lock::new([lock.modules.clone(), index.resolve(asking(&["kb:facts ^1"])).expect("one").modules].concat());
    assert!(more.modules.len() > lock.modules.len());
    let mut unused = more.modules.clone();
    unused.dedup_by(|a, b| a.id == b.id);
    assert_eq!(with(&Lock::new(unused), debate(&["agent:chat ^1"])).satisfied(&index), Some(lock.clone()));
    for needs in [&["agent:chat ^2"][..], &["agent:chat ^1", "kb:facts ^1"], &["agent:chat ^1 from internal"], &[]] {
        assert_eq!(with(&lock, debate(needs)).satisfied(&index), None, "{needs:?}");
    }
    assert_eq!(request.satisfied(&index), None, "there is no lock");
}

#[test]
fn members_win_over_the_registry_and_have_no_sha() {
    let request = Request {
        members: vec![
            member("orchestrator:debate", "0.1.0-dev", &["agent:chat ^9"]),
            member("agent:chat", "9.0.0", &["kb:facts ^1"]),
        ],
        ..Request::default()
    };
    let lock = chat().resolve(request).expect("a solution");
    assert_eq!(versions(&lock), ["orchestrator:debate@0.1.0-dev", "agent:chat@9.0.0", "kb:facts@1.2.0"]);
    assert_eq!((&lock.modules[1].registry, &lock.modules[1].sha256), (&None, &None));
}

#[test]
fn a_conflict_says_who_needs_what() {
    let request = Request {
        members: vec![member("orchestrator:debate", "0.1.0", &["agent:chat ^1.1", "tool:search ^1"])],
        ..Request::default()
    };
    let index =
        chat().with("tool:search", "1.0.0", &["kb:facts =1.0.0"]).with("tool:search", "1.0.1", &["kb:facts =1.0.0"]);
    assert_data_eq!(
        told(&index.resolve(request).expect_err("a conflict")),
        str![[r#"
no versions satisfy everyone
  Because every version of `tool:search` needs `kb:facts` =1.0.0 and `agent:chat` 1.1.0 needs `kb:facts` ^1.2, `agent:chat` 1.1.0 and every version of `tool:search` do not go together.
  And because `orchestrator:debate` 0.1.0 needs `agent:chat` ^1.1, `orchestrator:debate` 0.1.0 and every version of `tool:search` do not go together.
  And because `orchestrator:debate` 0.1.0 needs `tool:search` ^1 and this request needs `orchestrator:debate` =0.1.0, nothing fits.
hint: widen one of these requirements in `[dependencies]`
"#]]
    );
}

#[test]
fn a_requirement_that_nothing_matches_says_what_there_is() {
    assert_data_eq!(
        told(&chat().resolve(asking(&["kb:facts ^3"])).expect_err("too new")),
        str![[r#"
no versions satisfy everyone
  this request needs `kb:facts` ^3 (there is only 1.0.0, 1.2.0 and 2.0.0).
hint: widen one of these requirements in `[dependencies]`
"#]]
    );
    let index = chat().with("agent:x", "1.0.0", &["kb:gone ^1"]);
    assert_data_eq!(
        told(&index.resolve(asking(&["agent:x ^1"])).expect_err("a gap")),
        str![[r#"
no versions satisfy everyone
  Because `agent:x` 1.0.0 needs `kb:gone` ^1 (there is no such module) and this request needs `agent:x` ^1, nothing fits.
hint: widen one of these requirements in `[dependencies]`
"#]]
    );
}

#[test]
fn an_unknown_module_is_told_with_a_near_one() {
    let request = Request {
        members: vec![member("agent:chat", "1.0.0", &[]), member("kb:facts", "1.0.0", &["agent:chta ^1"])],
        ..Request::default()
    };
    assert_data_eq!(
        told(&Memory::default().resolve(request).expect_err("a typo")),
        str![[r#"
there is no module `agent:chta`, which `kb:facts` needs
hint: did you mean `agent:chat`?
"#]]
    );
    assert_data_eq!(
        told(&Memory::default().resolve(asking(&["kb:zebra *"])).expect_err("nothing")),
        str![[r#"
there is no module `kb:zebra`
hint: see that type, name and registry are right; a module of this workspace is named with its `path`
"#]]
    );
}

#[test]
fn a_locked_request_says_what_would_change() {
    let index = chat().with("tool:search", "1.0.0", &[]);
    let lock = index.resolve(asking(&["agent:chat =1.0.0", "tool:search ^1"])).expect("a solution");
    let locked = |roots: &[&str]| Request { lock: Some(lock.clone()), locked: true, ..asking(roots) };
    assert_eq!(index.resolve(locked(&["agent:chat ^1", "tool:search *"])).expect("nothing to change"), lock);
    assert_data_eq!(
        told(&index.resolve(locked(&["agent:chat ^1.1"])).expect_err("out of date")),
        str![[r#"
`napt.lock` is out of date
  change `agent:chat` from 1.0.0 to 1.1.0
  remove `tool:search` 1.0.0
hint: run the command without `--locked` to bring it up to date, and commit it
"#]]
    );
    let none = index.resolve(Request { locked: true, ..asking(&["agent:chat ^1"]) }).expect_err("no lock");
    assert_data_eq!(
        told(&none),
        str![[r#"
there is no `napt.lock` to keep to
hint: run the command without `--locked` to write it, and commit it
"#]]
    );
}

#[test]
fn an_archive_that_changed_after_it_was_locked_is_refused() {
    let mut index = chat();
    let lock = index.resolve(asking(&["kb:facts =1.0.0"])).expect("a solution");
    index.0.get_mut(&id("kb:facts")).expect("a module")[0].sha256 = "other".to_owned();
    let error = index.resolve(Request { lock: Some(lock), ..asking(&["kb:facts *"]) }).expect_err("tampering");
    assert!(matches!(error, ResolveError::Changed { .. }), "{error}");
}

#[test]
fn a_lock_file_is_read_as_it_was_written_and_always_the_same() {
    let folder = tempfile::TempDir::new().expect("a folder");
    assert_eq!(Lock::read(folder.path()).expect("no file is no error"), None);
    let lock = chat().resolve(asking(&["agent:chat ^1"])).expect("a solution");
    assert!(lock.write(folder.path()).expect("written"));
    assert!(!lock.write(folder.path()).expect("already there"), "the same bytes are not written again");
    assert_eq!(Lock::read(folder.path()).expect("read"), Some(lock));
    let files: Vec<_> = fs_err::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(files.len(), 1, "no temporary file is left");
    assert_data_eq!(
        fs_err::read_to_string(folder.path().join(LOCK_FILE)).expect("text"),
        str![[r##"
# Written by napt: the exact modules that this workspace uses. Commit it; do not edit it.
format = 1

[[module]]
id = "agent:chat"
version = "1.1.0"
registry = "https://registry.example"
sha256 = "agent:chat-1.1.0"
dependencies = ["kb:facts"]

[[module]]
id = "kb:facts"
version = "1.2.0"
registry = "https://registry.example"
sha256 = "kb:facts-1.2.0"

"##]]
    );
}

#[test]
fn lock_files_that_cannot_be_used_are_refused() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let module = "[[module]]\nid = \"kb:x\"\nversion = \"1.0.0\"\n";
    for (text, message) in [
        ("<<<<<<< HEAD\nformat = 1\n".to_owned(), "cannot read"),
        ("format = 2\nmodule = \"other\"\n".to_owned(), "has format 2"),
        (format!("format = 1\n{module}{module}"), "locks `kb:x` twice"),
    ] {
        fs_err::write(folder.path().join(LOCK_FILE), text).expect("written");
        let error = Lock::read(folder.path()).expect_err(message);
        assert!(error.to_string().contains(message) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_workspace_asks_for_its_members_and_what_they_name_by_path() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs_err::write(path, text).expect("a file");
    };
    let module = |name: &str, more: &str| {
        format!("[module]\ntype = \"agent\"\nname = \"{name}\"\nversion = \"0.1.0\"\n[dependencies]\n{more}")
    };
    write("work/napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    write("work/a/napt.toml", &module("a", "\"agent:b\" = \"*\"\n\"agent:c\" = { path = \"../../c\" }\n"));
    write("work/b/napt.toml", &module("b", "\"kb:facts\" = \"^1\"\n"));
    write("c/napt.toml", &module("c", "\"agent:d\" = { path = \"../d\", version = \"^0.1\" }\n"));
    write("d/napt.toml", &module("d", "\"agent:c\" = { path = \"../c\" }\n"));
    let workspace = Workspace::discover(&folder.path().join("work")).expect("a workspace");
    let request = Request::of_workspace(&workspace, None, false).expect("a request");
    let lock = chat().resolve(request).expect("a solution");
    assert_eq!(versions(&lock), ["agent:a@0.1.0", "agent:b@0.1.0", "agent:c@0.1.0", "agent:d@0.1.0", "kb:facts@1.2.0"]);
}

/// Small universes: four modules of up to four versions, each needing up to two of the others.
fn universes() -> impl Strategy<Value = (Memory, Vec<(usize, u64)>)> {
    let needs = || prop::collection::vec((0..4usize, 0..4u64), 0..3);
    let module = prop::collection::vec((needs(), prop::bool::weighted(0.15)), 1..5);
    let roots = prop::collection::vec((0..4usize, 0..4u64), 1..4);
    (prop::collection::vec(module, 4), roots).prop_map(|(modules, roots)| {
        let mut memory = Memory::default();
        for (number, candidates) in modules.iter().enumerate() {
            for (minor, (needs, yanked)) in candidates.iter().enumerate() {
                let needs: Vec<String> = needs.iter().map(|need| need_of(*need)).collect();
                let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
                let (module, version) = (format!("agent:m{number}"), format!("1.{minor}.0"));
                memory = memory.with(&module, &version, &needs);
                if *yanked {
                    memory = memory.yanked(&module, &version);
                }
            }
        }
        (memory, roots)
    })
}

/// `~1.N`: exactly one minor version; `^1.N` for even modules: that one or a higher.
fn need_of((module, minor): (usize, u64)) -> String {
    if module % 2 == 0 { format!("agent:m{module} ^1.{minor}") } else { format!("agent:m{module} ~1.{minor}") }
}

fn is_solution(memory: &Memory, roots: &[Need], chosen: &BTreeMap<ModuleId, Version>) -> bool {
    let met =
        |needs: &[Need]| needs.iter().all(|need| chosen.get(&need.id).is_some_and(|version| need.req.matches(version)));
    met(roots)
        && chosen.iter().all(|(id, version)| {
            let candidate = memory.0[id].iter().find(|candidate| candidate.version == *version);
            candidate.is_some_and(|candidate| !candidate.yanked && met(&candidate.dependencies))
        })
}

/// Whether any choice of versions, or of no version, of each module is a solution.
fn solvable(memory: &Memory, roots: &[Need]) -> bool {
    let mut partial = vec![BTreeMap::new()];
    for (id, candidates) in &memory.0 {
        partial = partial
            .into_iter()
            .flat_map(|chosen: BTreeMap<ModuleId, Version>| {
                let with = candidates.iter().map({
                    let chosen = chosen.clone();
                    move |candidate| {
                        let mut chosen = chosen.clone();
                        chosen.insert(id.clone(), candidate.version.clone());
                        chosen
                    }
                });
                with.chain([chosen.clone()]).collect::<Vec<_>>()
            })
            .collect();
    }
    partial.iter().any(|chosen| is_solution(memory, roots, chosen))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_a_solution_whenever_there_is_one((memory, roots) in universes()) {
        let roots: Vec<String> = roots.into_iter().map(need_of).collect();
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        let request = asking(&roots);
        match memory.resolve(request.clone()) {
            Ok(lock) => {
                let chosen: BTreeMap<ModuleId, Version> =
                    lock.modules.iter().map(|module| (module.id.clone(), module.version.clone())).collect();
                prop_assert!(is_solution(&memory, &request.roots, &chosen), "{:?}", versions(&lock));
                // What was chosen is chosen again, whatever order the index answers in.
                let mut shuffled = memory.clone();
                shuffled.0.values_mut().for_each(|candidates| candidates.reverse());
                prop_assert_eq!(&shuffled.resolve(request.clone()).expect("the same"), &lock);
                let again = Request { lock: Some(lock.clone()), locked: true, ..request };
                prop_assert_eq!(&memory.resolve(again).expect("nothing changes"), &lock);
            }
            Err(error) => {
                prop_assert!(!solvable(&memory, &request.roots), "{}", error);
                let explained = matches!(error, ResolveError::Conflict { .. } | ResolveError::Unknown { .. });
                prop_assert!(explained, "{}", error);
            }
        }
    }
}
