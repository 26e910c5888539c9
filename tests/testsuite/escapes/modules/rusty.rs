// One hostile module that tries what its inputs say: a dozen things that are to be refused, or one that ends its run.
use serde_json::{json, Map, Value};
use std::{fs, io, io::Write, net, os::fd::FromRawFd, os::unix::net::UnixStream, process::Command, thread, time::Duration};

extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn signal(number: i32, handler: usize) -> usize;
}

const ARM: bool = cfg!(target_arch = "aarch64");

/// A system call by its numbers on x86_64 and aarch64, with arguments that harm nobody where it is refused.
fn call(x86: i64, arm: i64, arguments: [i64; 5]) -> io::Result<String> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: pointers among the arguments are to memory of this process, or none.
    match unsafe { syscall(if ARM { arm } else { x86 }, a, b, c, d, e) } {
        -1 => Err(io::Error::last_os_error()),
        gave => Ok(format!("gave {gave}")),
    }
}

fn known(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(1) => "EPERM", Some(2) => "ENOENT", Some(3) => "ESRCH", Some(13) => "EACCES", Some(20) => "ENOTDIR",
        Some(6) => "ENXIO", Some(9) => "EBADF", Some(19) => "ENODEV", Some(97) => "EAFNOSUPPORT", Some(30) => "EROFS", Some(38) => "ENOSYS", Some(101) => "ENETUNREACH", Some(111) => "ECONNREFUSED",
        _ => return format!("{error:?}"),
    };
    name.to_owned()
}

type Told = Map<String, Value>;

/// What was managed, and what was refused.
#[derive(Default)]
struct Tries {
    escaped: Told,
    refused: Told,
}

impl Tries {
    fn attempt(&mut self, what: impl Into<String>, tried: io::Result<String>) {
        match tried {
            Ok(gained) => self.escaped.insert(what.into(), gained.into()),
            Err(error) => self.refused.insert(what.into(), known(&error).into()),
        };
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn run(run: &napt::Run) -> napt::Result<Value> {
    let mut tries = Tries::default();
    match run.inputs["which"].as_str().unwrap_or_default() {
        "reach" => reach(&run.inputs, &mut tries)?,
        "calls" => calls(&run.inputs, &mut tries),
        "descriptors" => descriptors(&run.inputs, &mut tries)?,
        "process 1" => process_1(&mut tries),
        other => return ending(other, &run.inputs),
    }
    Ok(json!({ "escaped": tries.escaped, "refused": tries.refused }))
}

/// Files, servers and processes of others.
fn reach(inputs: &Value, tries: &mut Tries) -> napt::Result<()> {
    let (data, home) = (text(&inputs["data"]), text(&inputs["home"]));
    let [sibling, stranger] = ["sibling", "stranger"].map(|who| inputs[who].clone());
    for path in [
        format!("{data}/identity.key"), format!("{data}/node.sqlite"), format!("{home}/.ssh/id_ed25519"), "/etc/shadow".to_owned(),
        text(&sibling["entry"]), text(&stranger["entry"]), format!("{}/diary.txt", text(&sibling["scratch"])),
        format!("{}/diary.txt", text(&stranger["scratch"])), format!("/proc/{}/environ", inputs["node_pid"]),
        format!("/proc/{}/environ", stranger["pid"]), format!("/proc/{}/mem", sibling["pid"]),
    ] {
        tries.attempt(format!("read {path}"), fs::read(&path).map(|bytes| format!("{} bytes", bytes.len())));
        tries.attempt(format!("write {path}"), fs::File::options().write(true).open(&path).map(|_| "opened".to_owned()));
    }
    for path in [data.clone(), format!("{data}/modules"), home, text(&stranger["scratch"]), text(&sibling["root"])] {
        tries.attempt(format!("list {path}"), fs::read_dir(&path).map(|all| format!("{} entries", all.count())));
    }
    for folder in ["/tmp", "/usr/lib", "/etc", "."] {
        tries.attempt(format!("add to {folder}"), fs::write(format!("{folder}/left"), "hostile").map(|()| folder.to_owned()));
    }
    let port = inputs["database"].as_u64().unwrap_or_default() as u16;
    for host in ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"] {
        let to: net::SocketAddr = (host.parse::<net::IpAddr>()?, port).into();
        let met = net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(3));
        tries.attempt(format!("connect to {to}"), met.map(|_| "connected".to_owned()));
    }
    tries.attempt("a datagram".to_owned(), net::UdpSocket::bind("127.0.0.1:0").map(|_| "bound".to_owned()));
    tries.attempt("a port".to_owned(), net::TcpListener::bind("127.0.0.1:0").map(|_| "bound".to_owned()));
    for path in [text(&inputs["database_socket"]), text(&inputs["docker_socket"])] {
        tries.attempt(path.clone(), UnixStream::connect(&path).map(|_| "connected".to_owned()));
    }
    for pid in [&inputs["node_pid"], &sibling["pid"], &stranger["pid"]] {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -9 {pid}")]).output();
        if sent.is_ok_and(|sent| sent.status.success()) {
            tries.attempt(format!("kill {pid}"), Ok("sent".to_owned()));
        }
    }
    // What holds neither the channel nor the output, in a session of its own.
    let left = "exec setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' \"$0\" </dev/null >/dev/null 2>&1 &";
    Command::new("/bin/sh").args(["-c", left, &text(&inputs["mark"])]).status()?;
    Ok(())
}

/// Calls that no program here has use for, made directly.
fn calls(inputs: &Value, tries: &mut Tries) {
    let own = i64::from(std::process::id());
    let pid = |value: &Value| value.as_i64().unwrap_or_default();
    let mut room = [0u8; 512];
    let place = room.as_mut_ptr() as i64;
    for other in [1, own - 1, pid(&inputs["node_pid"]), pid(&inputs["sibling"]["pid"]), pid(&inputs["stranger"]["pid"])] {
        tries.attempt(format!("attach to {other}"), call(101, 117, [16, other, 0, 0, 0]));
        tries.attempt(format!("seize {other}"), call(101, 117, [0x4206, other, 0, 0, 0]));
        tries.attempt(format!("read memory of {other}"), call(310, 270, [other, 0, 0, 0, 0]));
        tries.attempt(format!("write memory of {other}"), call(311, 271, [other, 0, 0, 0, 0]));
        tries.attempt(format!("compare with {other}"), call(312, 272, [own, other, 0, 0, 0]));
    }
    tries.attempt("take a descriptor", call(438, 438, [0, 0, 0, 0, 0]));
    for (kind, flag) in [
        ("users", 0x1000_0000), ("mounts", 0x2_0000), ("processes", 0x2000_0000), ("network", 0x4000_0000), ("groups", 0x200_0000),
    ] {
        tries.attempt(format!("a namespace of {kind}"), call(272, 97, [flag, 0, 0, 0, 0]));
        tries.attempt(format!("a process in a namespace of {kind}"), call(56, 220, [flag | 17, 0, 0, 0, 0]));
    }
    for (what, x86, arm, arguments) in [
        ("setns", 308, 268, [0, 0, 0, 0, 0]),
        ("clone3", 435, 435, [place, 88, 0, 0, 0]),
        ("mount", 165, 40, [0, c"/proc".as_ptr() as i64, c"proc".as_ptr() as i64, 0, 0]),
        ("umount", 166, 39, [c"/proc".as_ptr() as i64, 2, 0, 0, 0]),
        ("pivot_root", 155, 41, [c"/".as_ptr() as i64, c"/".as_ptr() as i64, 0, 0, 0]),
        ("chroot", 161, 51, [c"/usr".as_ptr() as i64, 0, 0, 0, 0]),
        ("fsopen", 430, 430, [c"tmpfs".as_ptr() as i64, 0, 0, 0, 0]),
        ("io_uring_setup", 425, 425, [8, place, 0, 0, 0]),
        ("io_uring_enter", 426, 426, [-1, 0, 0, 0, 0]),
        ("bpf", 321, 280, [0, place, 128, 0, 0]),
        ("userfaultfd", 323, 282, [1, 0, 0, 0, 0]),
        ("perf_event_open", 298, 241, [place, 0, -1, -1, 0]),
        ("keyctl", 250, 219, [0, -3, 1, 0, 0]),
        ("add_key", 248, 217, [c"user".as_ptr() as i64, c"hostile".as_ptr() as i64, place, 1, -2]),
        ("request_key", 249, 218, [c"user".as_ptr() as i64, c"hostile".as_ptr() as i64, 0, 0, 0]),
        ("open_by_handle_at", 304, 265, [-100, place, 0, 0, 0]),
        ("fanotify_init", 300, 262, [0, 0, 0, 0, 0]),
        ("personality", 135, 92, [0x004_0000, 0, 0, 0, 0]),
        ("shared memory by number", 29, 194, [0x6e61_7074, 4096, 0o1666, 0, 0]),
        ("a packet socket", 41, 198, [17, 3, 0, 0, 0]),
        ("a netlink socket", 41, 198, [16, 3, 0, 0, 0]),
        ("a vsock socket", 41, 198, [40, 1, 0, 0, 0]),
        ("a raw socket", 41, 198, [2, 3, 1, 0, 0]),
        ("sethostname", 170, 161, [place, 4, 0, 0, 0]),
        ("init_module", 175, 105, [place, 8, place, 0, 0]),
        ("a limit of another", 302, 261, [own - 1, 7, 0, place, 0]),
        ("a number of the far future", 900, 900, [0, 0, 0, 0, 0]),
    ] {
        tries.attempt(what, call(x86, arm, arguments));
    }
    // There is no such user in its namespace.
    let root = call(105, 146, [0; 5]).or_else(|error| if error.raw_os_error() == Some(22) { Err(io::Error::from_raw_os_error(1)) } else { Err(error) });
    tries.attempt("become root", root);
    if !ARM {
        tries.attempt("getpid as x32", call(0x4000_0000 + 39, 0, [0; 5]));
        tries.attempt("ptrace as x32", call(0x4000_0000 + 521, 0, [0; 5]));
    }
}

/// Writes to what it has not opened itself, as if it were the node's parent of others.
fn descriptors(inputs: &Value, tries: &mut Tries) -> napt::Result<()> {
    let link = |number: i32| fs::read_link(format!("/proc/self/fd/{number}"));
    let own: Vec<_> = (0..3).filter_map(|number| link(number).ok()).collect();
    for number in 3..1024 {
        let Ok(to) = link(number) else { continue };
        // Other numbers of what is its own.
        if own.contains(&to) {
            continue;
        }
        let forged = json!({ "op": "exited", "run": inputs["sibling"]["run"], "status": 0 }).to_string();
        // SAFETY: it is not closed afterwards.
        let mut file = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(number) });
        let written = file.write(&[&(forged.len() as u32).to_be_bytes()[..], forged.as_bytes()].concat());
        tries.attempt(format!("{number}: {}", to.display()), written.map(|bytes| format!("{bytes} bytes")));
    }
    tries.refused.insert("others' descriptors".to_owned(), "nothing".into());
    Ok(())
}

/// What waits for this program, and knows how it was shut in.
fn process_1(tries: &mut Tries) {
    let of_others = |path: &str, bytes: &[u8]| {
        let said = String::from_utf8_lossy(bytes).into_owned();
        let is_told = ["canary-", "NAPT_", "PRIVATE_KEY", "HOME="].iter().any(|word| said.contains(word));
        is_told.then(|| format!("{path}: {said:.300}"))
    };
    for path in ["environ", "cmdline", "stack", "maps", "mountinfo"] {
        let path = format!("/proc/1/{path}");
        match fs::read(&path) {
            Ok(bytes) => match of_others(&path, &bytes).filter(|_| path.ends_with("environ")) {
                Some(said) => tries.attempt(path, Ok(said)),
                None => drop(tries.refused.insert(path, "nothing".into())),
            },
            Err(error) => tries.attempt(path, Err(error)),
        }
    }
    for path in ["/proc/1/root/etc/shadow", "/proc/1/root/root", "/proc/1/cwd/../../../identity.key", "/proc/2/root/home"] {
        tries.attempt(path, fs::metadata(path).and_then(|_| fs::read(path)).map(|bytes| format!("{} bytes", bytes.len())));
    }
    for number in 0..64 {
        let path = format!("/proc/1/fd/{number}");
        let Ok(to) = fs::read_link(&path) else { continue };
        tries.attempt(format!("{path}: {}", to.display()), match fs::File::options().write(true).open(&path) {
            // Its own output, and nothing.
            Ok(_) if ["pipe:", "/dev/null"].iter().any(|own| to.to_string_lossy().starts_with(own)) => continue,
            opened => opened.map(|_| "opened".to_owned()),
        });
    }
}

fn frame(value: &Value) -> io::Result<()> {
    let text = value.to_string();
    // SAFETY: the channel is this process's standard input, which is not closed afterwards.
    let mut channel = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(0) });
    channel.write_all(&[&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat())
}

fn home(name: &str) -> String {
    format!("{}/{name}", std::env::var("HOME").unwrap_or_default())
}

/// What its run does not outlive.
fn ending(which: &str, inputs: &Value) -> napt::Result<Value> {
    let forever = || -> ! {
        loop {
            thread::sleep(Duration::from_secs(60));
        }
    };
    match which {
        "spin" => loop {},
        "spin in many" => {
            for _ in 0..4 {
                thread::spawn(|| loop {});
            }
            forever()
        }
        "allocate" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1; 1 << 20]);
            }
        }
        "map shared memory" => {
            // Of 1 GiB: for reading and writing, shared, of no file.
            // SAFETY: it is this process's own.
            let place = unsafe { syscall(if ARM { 222 } else { 9 }, 0_i64, 1_i64 << 30, 3_i64, 0x21_i64, -1_i64, 0_i64) };
            for page in (0..1 << 30).step_by(4096) {
                unsafe { *((place + page) as *mut u8) = 1 };
            }
            forever()
        }
        "threads" => {
            let mut all = Vec::new();
            loop {
                let made = thread::Builder::new().stack_size(64 << 10).spawn(move || thread::sleep(Duration::from_secs(60)));
                all.push(made?);
            }
        }
        "fork" => loop {
            Command::new("/bin/sleep").arg("60").spawn()?;
        },
        "open" => {
            let mut all = Vec::new();
            loop {
                all.push(fs::File::open("/dev/null")?);
            }
        }
        "open, and say something else" => {
            let mut all = Vec::new();
            loop {
                all.push(fs::File::open("/dev/null").map_err(|error| io::Error::other(error))?);
            }
        }
        "a large file" => loop {
            fs::File::options().append(true).create(true).open(home("large"))?.write_all(&[1; 1 << 16])?;
        },
        "many files" => {
            for number in 0..256 {
                fs::write(home(&number.to_string()), [1; 64 << 10])?;
            }
            forever()
        }
        "print" => loop {
            println!("{}", "x".repeat(1000));
        },
        "a large result" => Ok("x".repeat(17 << 20).into()),
        "ignore signals" => {
            for number in 1..32 {
                // SAFETY: 1 is `SIG_IGN`.
                unsafe { signal(number, 1) };
            }
            forever()
        }
        "answer twice" => {
            frame(&json!({ "op": "result", "ok": true, "result": "first" }))?;
            Ok("second".into())
        }
        "answer for another" => {
            frame(&json!({ "op": "exited", "run": inputs["sibling"]["run"], "status": 0 }))?;
            Ok("never read".into())
        }
        "a frame of 2 GiB" => {
            // SAFETY: as above.
            let mut channel = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(0) });
            channel.write_all(&0x7fff_ffff_u32.to_be_bytes())?;
            Ok("never read".into())
        }
        other => Err(format!("there is no `{other}`").into()),
    }
}
