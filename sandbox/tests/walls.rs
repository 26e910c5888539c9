//! What a program that is shut in can reach, tried with shell commands: as whoever runs the tests, and as an ordinary user
//! too when that is root.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "tests say what failed by where they panic")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use napt_sandbox::{Launcher, Policy, SandboxError, Sealed, is_root, launched, probe, sealed};

const TESTS: &[(&str, fn())] = &[
    ("everything_is_here", everything_is_here),
    ("it_sees_what_it_is_given", it_sees_what_it_is_given),
    ("it_writes_only_its_own", it_writes_only_its_own),
    ("it_is_alone", it_is_alone),
    ("it_has_no_rights", it_has_no_rights),
    ("its_network_is_its_callers", its_network_is_its_callers),
    ("it_ends_with_its_caller", it_ends_with_its_caller),
    ("it_ends_with_its_launcher", it_ends_with_its_launcher),
    ("it_ends_as_the_program_does", it_ends_as_the_program_does),
    ("what_cannot_be_given_is_said", what_cannot_be_given_is_said),
    ("limits_hold", limits_hold),
    ("it_is_in_its_groups", it_is_in_its_groups),
    ("nothing_is_inherited", nothing_is_inherited),
    ("system_calls_are_refused", system_calls_are_refused),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = launched(&arguments) {
        return code;
    }
    let filter = arguments.get(1).and_then(|filter| filter.to_str()).filter(|filter| !filter.starts_with('-'));
    for (name, test) in TESTS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter))) {
        println!("test walls::{name}");
        test();
    }
    if is_root() && filter.is_none() {
        // Once more as an ordinary user, whose folder is its own.
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("walls");
        fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("a folder for all");
        let ordinary = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
            .arg(&program)
            .env("TMPDIR", folder.path())
            .status();
        match ordinary {
            Ok(status) => assert!(status.success(), "as an ordinary user: {status}"),
            Err(error) => println!("not tried as an ordinary user: setpriv: {error}"),
        }
    }
    println!("all walls stand");
    ExitCode::SUCCESS
}

/// A program that was shut in, and the control socket.
struct Started {
    child: Child,
    control: UnixStream,
    sealed: Sealed,
}

/// A policy as the user that runs the tests can have it.
fn policy() -> Policy {
    Policy { uid: is_root().then_some(0x7000_1234), ..Policy::default() }
}

fn start(policy: &Policy, program: &str, arguments: &[&str]) -> Result<Started, SandboxError> {
    let launcher = Launcher::new(PathBuf::from("/proc/self/exe"));
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = launcher.command(policy, Path::new(program));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    drop(command);
    let sealed = sealed(&ours, Duration::from_secs(60))?;
    Ok(Started { child, control: ours, sealed })
}

/// What a shell script prints, shut in.
fn sh(policy: &Policy, script: &str) -> String {
    let started = start(policy, "/bin/sh", &["-c", script]).expect("shut in");
    let output = started.child.wait_with_output().expect("its end");
    drop(started.control);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    format!("{}{}", text, String::from_utf8_lossy(&output.stderr)).trim().to_owned()
}

fn everything_is_here() {
    let found = probe(&Launcher::new(PathBuf::from("/proc/self/exe")));
    assert!(found.namespaces && found.seccomp && found.landlock > 0, "{found:?}");
}

/// A folder that others may enter, as a node's data folder that holds more than this module's.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("given/below")).expect("folders");
    fs::write(folder.path().join("given/below/file"), "given").expect("a file");
    fs::write(folder.path().join("secret"), "canary").expect("a file");
    fs::create_dir(folder.path().join("scratch")).expect("a folder");
    fs::set_permissions(folder.path().join("scratch"), fs::Permissions::from_mode(0o777)).expect("for all");
    folder
}

fn it_sees_what_it_is_given() {
    let folder = folder();
    let given = folder.path().join("given");
    std::os::unix::fs::symlink(&given, folder.path().join("link")).expect("a link");
    let policy = Policy { read: vec![given.clone(), folder.path().join("link/below")], ..policy() };
    let here = folder.path().display();
    assert_eq!(sh(&policy, &format!("cat {here}/given/below/file; cat {here}/link/below/file")), "givengiven");
    // Not hidden, but not there.
    assert_eq!(
        sh(
            &policy,
            &format!("for path in {here}/secret /root /home /sys /run /dev/shm; do test -e $path && echo $path; done")
        ),
        ""
    );
    assert_eq!(sh(&policy, &format!("ls {here} / 2>/dev/null")), "");
    assert_eq!(sh(&policy, "cat /etc/hosts; cat /etc/shadow 2>/dev/null; ls /dev | wc -l"), "127.0.0.1 localhost\n9");
}

fn it_writes_only_its_own() {
    let folder = folder();
    let (given, scratch) = (folder.path().join("given"), folder.path().join("scratch"));
    let policy = Policy { read: vec![given.clone()], write: vec![scratch.clone()], ..policy() };
    let script = format!(
        "for file in {0}/x {0}/below/file /x /etc/x /usr/x /dev/x /proc/sys/kernel/hostname {1}/../x; do \
         (echo 1 > $file) 2>/dev/null && echo $file; done; echo 2 > {1}/mine; echo 3 > /dev/null; cat {1}/mine",
        given.display(),
        scratch.display()
    );
    assert_eq!(sh(&policy, &script), "2");
    assert_eq!(fs::read_to_string(scratch.join("mine")).expect("its file"), "2\n");
    assert_eq!(fs::read_to_string(given.join("below/file")).expect("a file"), "given");
}

fn it_is_alone() {
    let policy = policy();
    assert_eq!(
        sh(&policy, "echo $$; test $(ls /proc | grep '^[0-9]' | sort -n | tail -1) -lt 100 && echo few"),
        "1\nfew"
    );
    assert_eq!(
        sh(&policy, "id -u; hostname; env | grep -v ^_ | sort | tr '\\n' ' '"),
        "1000\nnapt\nPATH=/usr/bin:/bin PWD=/"
    );
    // A process of the machine, by its number there.
    let me = std::process::id();
    assert_eq!(sh(&policy, &format!("kill -0 {me} 2>/dev/null || echo no")), "no");
}

fn it_has_no_rights() {
    let status = sh(&policy(), "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    for line in status.lines() {
        let value = line.split_whitespace().nth(1).expect("a value");
        let expected = match line.split(':').next() {
            Some("NoNewPrivs") => "1",
            Some("Seccomp") => "2",
            _ => "0000000000000000",
        };
        assert_eq!(value, expected, "{line}");
    }
    assert_eq!(status.lines().count(), 7);
}

/// A TCP client, wherever there is a Python.
fn connect(address: &str) -> String {
    format!(
        "python3 -I -c 'import socket\ntry:\n s = socket.create_connection((\"{}\", {}), 5); print(s.recv(9).decode())\n\
         except OSError as error: print(type(error).__name__)'",
        address.rsplit_once(':').expect("host and port").0,
        address.rsplit_once(':').expect("host and port").1,
    )
}

fn its_network_is_its_callers() {
    let outside = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = outside.local_addr().expect("its address").port();
    let policy = Policy { listen: vec![port, 3128], ..policy() };
    let other = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let script =
        [connect(&format!("127.0.0.1:{port}")), connect(&other.to_string()), connect("192.0.2.1:80")].join(";");
    let started = start(&policy, "/bin/sh", &["-c", &script]).expect("shut in");
    assert_eq!(started.sealed.listeners.len(), 2);
    let inner = &started.sealed.listeners[0];
    assert_eq!(inner.local_addr().expect("its address").port(), port);
    inner.set_nonblocking(false).expect("patience");
    let (mut stream, _) = inner.accept().expect("a connection from inside");
    stream.write_all(b"hello").expect("to be heard");
    drop(stream);
    let output = started.child.wait_with_output().expect("its end");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(lines.starts_with("hello\n") && lines.lines().skip(1).all(|line| line.ends_with("Error")), "{lines}");
    assert_eq!(lines.lines().count(), 3, "{lines}");
    // What listens outside was never asked.
    outside.set_nonblocking(true).expect("impatience");
    assert!(outside.accept().is_err());
}

/// Whether what is inside has gone, which had this pipe.
fn ends(mut output: impl Read) {
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("the end of what it prints");
}

/// It starts what detaches itself, and says so.
const DETACHED: &str = "(setsid sh -c 'sleep 1000' &) ; (sleep 1000 &) ; echo up; sleep 1000";

fn up(started: &mut Started) -> impl Read + use<> {
    let mut output = started.child.stdout.take().expect("a pipe");
    let mut line = [0_u8; 3];
    output.read_exact(&mut line).expect("a line");
    assert_eq!(&line, b"up\n");
    output
}

fn it_ends_with_its_caller() {
    let mut started = start(&policy(), "/bin/sh", &["-c", DETACHED]).expect("shut in");
    let output = up(&mut started);
    drop(started.control);
    ends(output);
    assert_eq!(started.child.wait().expect("its end").code(), Some(137));
}

fn it_ends_with_its_launcher() {
    let mut started = start(&policy(), "/bin/sh", &["-c", DETACHED]).expect("shut in");
    let output = up(&mut started);
    started.child.kill().expect("to kill it");
    ends(output);
    started.child.wait().expect("its end");
}

fn it_ends_as_the_program_does() {
    for (script, code) in [("exit 7", 7), ("exit 0", 0), ("sleep 1000 & kill -9 $!; wait $!", 137)] {
        let mut started = start(&policy(), "/bin/sh", &["-c", script]).expect("shut in");
        assert_eq!(started.child.wait().expect("its end").code(), Some(code), "{script}");
    }
    // A signal to itself, which does nothing to process 1.
    let policy = Policy { init: true, ..policy() };
    for (script, code) in [("kill -ABRT $$; sleep 1000", 134), ("(sleep 1000 &); exit 3", 3), ("exec kill -9 $$", 137)]
    {
        let mut started = start(&policy, "/bin/sh", &["-c", script]).expect("shut in");
        assert_eq!(started.child.wait().expect("its end").code(), Some(code), "{script}");
    }
}

fn what_cannot_be_given_is_said() {
    let failed = |policy: Policy, program: &str| match start(&policy, program, &[]) {
        Err(SandboxError::Failed(reason)) => reason,
        other => panic!("it should have failed: {:?}", other.map(|started| started.sealed)),
    };
    let missing = failed(Policy { read: vec![PathBuf::from("/nowhere/to/be")], ..policy() }, "/bin/sh");
    assert!(missing.contains("cannot find `/nowhere/to/be`: No such file"), "{missing}");
    let program = failed(policy(), "/usr/bin/no-such-program");
    assert!(program.contains("cannot run `/usr/bin/no-such-program`: No such file"), "{program}");
}

fn limits_hold() {
    let limits = napt_sandbox::Limits { files: Some(64), file_size: Some(4096), ..napt_sandbox::Limits::default() };
    let folder = folder();
    let scratch = folder.path().join("scratch");
    let policy = Policy { write: vec![scratch.clone()], limits, ..policy() };
    assert_eq!(sh(&policy, "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc"), "64\n64\n0\n0");
    sh(&policy, &format!("head -c 100000 /dev/zero > {}/large", scratch.display()));
    assert_eq!(fs::metadata(scratch.join("large")).expect("its file").len(), 4096);
}

/// A group for processes that this user may make, by whichever version there is.
fn group() -> Option<PathBuf> {
    let member = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mounted = match controllers {
            "" => ["/sys/fs/cgroup".to_owned(), "/sys/fs/cgroup/unified".to_owned()],
            named => [format!("/sys/fs/cgroup/{named}"), String::new()],
        };
        Some(mounted.map(|mounted| PathBuf::from(format!("{mounted}{path}"))))
    };
    let folders = member.lines().filter(|line| !line.contains("name=")).filter_map(own).flatten();
    folders.map(|folder| folder.join(format!("walls-{}", std::process::id()))).find(|folder| {
        fs::create_dir(folder).is_ok_and(|()| folder.join("cgroup.procs").exists() || fs::remove_dir(folder).is_err())
    })
}

fn it_is_in_its_groups() {
    let missing = Policy { groups: vec![PathBuf::from("/nowhere")], ..policy() };
    match start(&missing, "/bin/sh", &[]) {
        Err(SandboxError::Failed(reason)) => {
            assert!(reason.starts_with("cannot enter the control group `/nowhere`: "), "{reason}");
        }
        other => panic!("it should have failed: {:?}", other.map(|started| started.sealed)),
    }
    let Some(group) = group() else { return println!("not tried: this user may make no control group") };
    let policy = Policy { groups: vec![group.clone()], init: true, ..policy() };
    let mut started = start(&policy, "/bin/sh", &["-c", DETACHED]).expect("shut in");
    let output = up(&mut started);
    let name = group.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let inside = fs::read_to_string(group.join("cgroup.procs")).expect("its processes");
    // The launcher, its other half, the shell, and the two that it started.
    assert!(inside.lines().any(|line| line == started.child.id().to_string()), "{inside}");
    assert!(inside.lines().count() >= 5, "{inside}");
    for process in inside.lines() {
        let of = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("a process");
        assert!(of.lines().any(|line| line.ends_with(&name)), "{of}");
    }
    // To itself it is in the root, and there is nothing to leave by.
    let seen = sh(&policy, "cat /proc/self/cgroup; ls -d /sys/fs/cgroup 2>/dev/null");
    assert!(!seen.contains(&name) && !seen.contains("/sys"), "{seen}");
    drop(started.control);
    ends(output);
    started.child.wait().expect("its end");
    // What has ended may be counted a moment longer.
    for _ in 0..400 {
        if fs::remove_dir(&group).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("`{}` is not empty", group.display());
}

fn nothing_is_inherited() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // As a shell or a service manager may leave one open.
    for end in [&OwnedFd::from(reader), &OwnedFd::from(writer)] {
        let end = end.try_clone().expect("another");
        rustix::io::fcntl_setfd(&end, rustix::io::FdFlags::empty()).expect("inherited");
        assert_eq!(sh(&policy(), "ls -l /proc/self/fd | grep -c pipe:"), "2", "its own streams");
    }
}

fn system_calls_are_refused() {
    let python = |nested: bool, code: &str| {
        let code = format!(
            "import ctypes, os, socket, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n\
             def call(*a): return 'done' if libc.syscall(*a) >= 0 else errno.errorcode[ctypes.get_errno()]\n{code}"
        );
        let folder = folder();
        let file = folder.path().join("given/code.py");
        fs::write(&file, code).expect("a file");
        let policy = Policy { nested, read: vec![folder.path().join("given")], ..policy() };
        sh(&policy, &format!("python3 -I {}", file.display()))
    };
    let user = "print(call(272, 0x10000000))";
    if cfg!(target_arch = "x86_64") {
        assert_eq!(python(false, user), "EPERM");
        assert_eq!(python(true, user), "done");
        assert_eq!(python(true, "print(call(272, 0x10020000), call(272, 0x40000000))"), "EPERM EPERM");
        // ptrace, bpf, io_uring_setup, mount, setns, keyctl; clone3, one of the future, one of x32.
        let all =
            "print(*(call(n, 0, 0, 0, 0, 0) for n in (101, 321, 425, 165, 308, 250, 435, 9999, 0x40000000 + 39)))";
        assert_eq!(python(true, all), "EPERM EPERM EPERM EPERM EPERM EPERM ENOSYS ENOSYS ENOSYS");
        // shmget, semget, msgget, mq_open; what sets limits and priorities of others, and then one's own.
        assert_eq!(
            python(true, "print(*(call(n, 1, 4096, 0o1600) for n in (29, 64, 68, 240)))"),
            "EPERM EPERM EPERM EPERM"
        );
        let others = "print(call(302, 99, 7, 0, 0), call(203, 99, 8, b'x' * 8), call(144, 99, 0, 0), call(141, 0, 99, 9), call(141, 2, 0, 9), call(251, 2, 0, 0))";
        assert_eq!(python(true, others), "EPERM EPERM EPERM EPERM EPERM EPERM");
        assert_eq!(
            python(true, "print(call(302, 0, 7, 0, 0), call(141, 0, 0, 19), os.getpriority(os.PRIO_PROCESS, 0))"),
            "done done 19"
        );
        assert_eq!(python(true, "print(call(56, 0x10000000 | 17, 0, 0, 0, 0))"), "EPERM");
    }
    let sockets = "def kind(*a):\n try: socket.socket(*a); return 'made'\n except OSError as e: return errno.errorcode[e.errno]\n\
        print(kind(socket.AF_UNIX, socket.SOCK_DGRAM), kind(socket.AF_INET), kind(socket.AF_INET6), \
        kind(socket.AF_INET, socket.SOCK_DGRAM), kind(socket.AF_INET, socket.SOCK_RAW), kind(socket.AF_NETLINK, socket.SOCK_RAW), \
        kind(socket.AF_PACKET, socket.SOCK_RAW), kind(socket.AF_INET, socket.SOCK_STREAM, 132))";
    assert_eq!(python(true, sockets), "made made made EACCES EACCES EACCES EACCES EACCES");
}
