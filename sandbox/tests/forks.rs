//! What a fork server starts, shut in and not: a shell, which reads its script from its channel as a module would its run.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "tests say what failed by where they panic")]

use std::{
    fs,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    time::Duration,
};

use napt_sandbox::{Launch, Launcher, Limits, Policy, is_root, launched, sealed};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

const PROGRAM: &str = "/bin/sh";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = launched(&arguments) {
        return code;
    }
    for (name, test) in [
        ("runs_are_shut_in_from_each_other", runs_are_shut_in_from_each_other as fn()),
        ("a_run_ends_with_all_that_it_started", a_run_ends_with_all_that_it_started),
        ("what_waits_for_nothing_ends", what_waits_for_nothing_ends),
        ("what_cannot_be_entered_is_said", what_cannot_be_entered_is_said),
        ("without_walls_there_are_limits", without_walls_there_are_limits),
    ] {
        println!("test forks::{name}");
        test();
    }
    ExitCode::SUCCESS
}

/// A fork server, and the folders of two runs.
struct Server {
    child: Child,
    control: UnixStream,
    folder: tempfile::TempDir,
}

/// A process that was forked.
struct Forked {
    channel: UnixStream,
    output: std::io::PipeReader,
}

impl Server {
    fn start(walled: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for run in ["a", "b"] {
            let scratch = folder.path().join("scratch").join(run);
            fs::create_dir_all(&scratch).expect("a folder");
            fs::set_permissions(&scratch, fs::Permissions::from_mode(0o777)).expect("for all");
            fs::create_dir_all(folder.path().join("view").join(run)).expect("a folder");
            fs::write(folder.path().join("view").join(run).join("file"), run).expect("a file");
        }
        let launcher = Launcher::new(PathBuf::from("/proc/self/exe"));
        let policy = Policy {
            read: vec![folder.path().join("view")],
            write: vec![folder.path().join("scratch")],
            uid: is_root().then_some(0x7000_1235),
            serves: true,
            ..Policy::default()
        };
        let program = Path::new(PROGRAM);
        let mut command = if walled { launcher.command(&policy, program) } else { launcher.fork_server(program) };
        let (control, theirs) = UnixStream::pair().expect("a socket");
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().expect("a server");
        drop(command);
        if walled {
            let sealed = sealed(&control, Duration::from_secs(60)).expect("walls");
            assert!(sealed.seccomp && sealed.landlock > 0, "{sealed:?}");
        }
        let mut server = Server { child, control, folder };
        server.ask(&json!({ "op": "start", "imports": [] }), &[]);
        assert_eq!(server.answer(), json!({ "op": "ready", "warm": true }));
        server
    }

    fn ask(&mut self, message: &Value, descriptors: &[OwnedFd]) {
        send(&self.control, message, descriptors);
    }

    fn answer(&mut self) -> Value {
        read(&mut self.control).expect("a frame")
    }

    fn fork(&mut self, run: &str) -> Forked {
        let (channel, theirs) = UnixStream::pair().expect("a socket");
        let (output, printed) = std::io::pipe().expect("a pipe");
        let errors = printed.try_clone().expect("another");
        self.ask(&json!({ "op": "fork", "run": run }), &[theirs.into(), printed.into(), errors.into()]);
        let answer = self.answer();
        assert_eq!((&answer["op"], &answer["run"]), (&json!("forked"), &json!(run)), "{answer}");
        Forked { channel, output }
    }

    fn launch(&self, run: &str, limits: Limits) -> Launch {
        let folder = |kind: &str| self.folder.path().join(kind).join(run);
        Launch { root: folder("view"), scratch: folder("scratch"), limits }
    }

    /// What a script prints in a run, and how that ends.
    fn run(&mut self, run: &str, limits: Limits, script: &str) -> (String, i64) {
        let mut forked = self.fork(run);
        let launch = self.launch(run, limits);
        forked.begin(&launch, script);
        let printed = forked.printed();
        (printed, self.end_of(run))
    }

    fn end_of(&mut self, run: &str) -> i64 {
        let answer = self.answer();
        assert_eq!((&answer["op"], &answer["run"]), (&json!("exited"), &json!(run)), "{answer}");
        answer["status"].as_i64().expect("a status")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

impl Forked {
    fn begin(&mut self, launch: &Launch, script: &str) {
        send(&self.channel, &serde_json::to_value(launch).expect("JSON"), &[]);
        assert_eq!(read(&mut self.channel).expect("a frame"), json!({ "op": "here" }));
        self.channel.write_all(script.as_bytes()).expect("a script");
        self.channel.shutdown(std::net::Shutdown::Write).expect("its end");
    }

    /// All that is printed, once nobody is left who could print.
    fn printed(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("a text");
        text.trim().to_owned()
    }
}

fn send(socket: &UnixStream, message: &Value, descriptors: &[OwnedFd]) {
    let body = message.to_string();
    let mut frame = u32::try_from(body.len()).expect("a short frame").to_be_bytes().to_vec();
    frame.extend(body.as_bytes());
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL).expect("sent");
    assert_eq!(sent, frame.len());
}

fn read(socket: &mut UnixStream) -> Option<Value> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn runs_are_shut_in_from_each_other() {
    let mut server = Server::start(true);
    let here = server.folder.path().display().to_string();
    let limits = Limits { files: Some(32), cpu: Some(5), ..Limits::default() };
    let own =
        format!("cat {here}/view/a/file; echo mine > {here}/scratch/a/file && cat {here}/scratch/a/file; ulimit -n");
    assert_eq!(server.run("a", limits.clone(), &own), ("amine\n32".to_owned(), 0));
    let others = format!(
        "for path in {here}/view/a/file {here}/scratch/a/file /proc/1/environ /proc/self/root{here}/scratch/a/file; do \
         cat $path 2>/dev/null && echo $path; done; ls {here}/scratch /proc 2>/dev/null; echo x 2>/dev/null > {here}/scratch/a/more; \
         unshare -U true 2>/dev/null && echo namespace; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$$/status 2>/dev/null; \
         kill -0 1 2>&1 >/dev/null | head -c0; echo end"
    );
    assert_eq!(server.run("b", limits, &others), ("end".to_owned(), 0));
    assert!(!server.folder.path().join("scratch/a/more").exists());
    // Of itself it may know.
    let itself = "read -r _ < /proc/self/status && while read -r name value; do case $name in CapEff:|CapBnd:|NoNewPrivs:|\
                  Seccomp:) echo $name $value;; esac; done < /proc/self/status";
    let (status, _) = server.run("b", Limits::default(), itself);
    let none = "0000000000000000";
    assert_eq!(status, format!("CapEff: {none}\nCapBnd: {none}\nNoNewPrivs: 1\nSeccomp: 2"));
}

fn a_run_ends_with_all_that_it_started() {
    let mut server = Server::start(true);
    for (script, status) in [
        ("exit 7", 7),
        ("(setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &); exit 3", 3),
        ("kill -ABRT $$; sleep 1000", -6),
        ("kill -9 $$; sleep 1000", -9),
    ] {
        assert_eq!(server.run("a", Limits::default(), script), (String::new(), status), "{script}");
    }
    let mut forked = server.fork("a");
    let launch = server.launch("a", Limits::default());
    forked.begin(&launch, "setsid sleep 1000 & echo up; sleep 1000\n");
    let mut up = [0; 3];
    forked.output.read_exact(&mut up).expect("a line");
    // Another is not disturbed.
    let mut other = server.fork("b");
    server.ask(&json!({ "op": "kill", "run": "a" }), &[]);
    assert_eq!(server.end_of("a"), -9);
    assert_eq!(forked.printed(), "");
    let launch = server.launch("b", Limits::default());
    other.begin(&launch, "echo still here");
    assert_eq!((other.printed().as_str(), server.end_of("b")), ("still here", 0));
    // And with its server.
    let mut last = server.fork("a");
    last.begin(&launch, "echo up; sleep 1000\n");
    last.output.read_exact(&mut up).expect("a line");
    drop(server);
    assert_eq!(last.printed(), "");
}

fn what_waits_for_nothing_ends() {
    let mut server = Server::start(true);
    let Forked { channel, mut output } = server.fork("a");
    drop(channel);
    assert_eq!(server.end_of("a"), 0);
    assert_eq!(output.read(&mut [0]).expect("its end"), 0);
}

fn what_cannot_be_entered_is_said() {
    let mut server = Server::start(true);
    let mut forked = server.fork("a");
    send(&forked.channel, &json!({ "root": 7 }), &[]);
    assert_eq!(read(&mut forked.channel).expect("a frame"), json!({ "op": "here" }));
    let said = read(&mut forked.channel).expect("a frame");
    assert_eq!((&said["op"], &said["ok"], &said["kind"]), (&json!("result"), &json!(false), &json!("seal")), "{said}");
    assert_eq!(server.end_of("a"), 125);
}

fn without_walls_there_are_limits() {
    let mut server = Server::start(false);
    let limits = Limits { files: Some(32), processes: Some(1), ..Limits::default() };
    assert_eq!(server.run("a", limits, "(echo another); ulimit -n; exit 4"), ("another\n32".to_owned(), 4));
    let mut forked = server.fork("b");
    let launch = server.launch("b", Limits::default());
    forked.begin(&launch, "echo up; sleep 1000\n");
    let mut up = [0; 3];
    forked.output.read_exact(&mut up).expect("a line");
    server.ask(&json!({ "op": "kill", "run": "b" }), &[]);
    assert_eq!((server.end_of("b"), forked.printed().as_str()), (-9, ""));
}
