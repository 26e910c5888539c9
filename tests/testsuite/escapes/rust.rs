//! A hostile module in Rust: what is no Python is shut in just as well.

use serde_json::json;

use super::{End::Refused, Stage};
use crate::support::rust::Rust;

/// Tries what the ones in Python try, as far as it can be tried without a crate.
const SPY: &str = r##"
use serde_json::{json, Map, Value};
use std::{fs, io, net, os::unix::net::UnixStream, process::Command};

fn known(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(1) => "EPERM", Some(2) => "ENOENT", Some(3) => "ESRCH", Some(13) => "EACCES", Some(20) => "ENOTDIR",
        Some(30) => "EROFS", Some(38) => "ENOSYS", Some(101) => "ENETUNREACH", Some(111) => "ECONNREFUSED",
        _ => return format!("{error:?}"),
    };
    name.to_owned()
}

fn run(run: &napt::Run) -> napt::Result<Value> {
    let inputs = &run.inputs;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut escaped, mut refused) = (Map::new(), Map::new());
    let mut attempt = |what: String, tried: io::Result<String>| match tried {
        Ok(gained) => escaped.insert(what, gained.into()),
        Err(error) => refused.insert(what, known(&error).into()),
    };
    let (data, home) = (text(&inputs["data"]), text(&inputs["home"]));
    let [sibling, stranger] = ["sibling", "stranger"].map(|who| inputs[who].clone());
    for path in [
        format!("{data}/identity.key"), format!("{data}/node.sqlite"), format!("{home}/.ssh/id_ed25519"), "/etc/shadow".to_owned(),
        text(&sibling["entry"]), text(&stranger["entry"]), format!("{}/diary.txt", text(&sibling["scratch"])),
        format!("{}/diary.txt", text(&stranger["scratch"])), format!("/proc/{}/environ", inputs["node_pid"]),
        format!("/proc/{}/environ", stranger["pid"]), format!("/proc/{}/mem", sibling["pid"]),
    ] {
        attempt(format!("read {path}"), fs::read(&path).map(|bytes| format!("{} bytes", bytes.len())));
        attempt(format!("write {path}"), fs::File::options().write(true).open(&path).map(|_| "opened".to_owned()));
    }
    for path in [data.clone(), format!("{data}/modules"), home, text(&stranger["scratch"]), text(&sibling["root"])] {
        attempt(format!("list {path}"), fs::read_dir(&path).map(|all| format!("{} entries", all.count())));
    }
    for folder in ["/tmp", "/usr/lib", "/etc", "."] {
        attempt(format!("add to {folder}"), fs::write(format!("{folder}/left"), "hostile").map(|()| folder.to_owned()));
    }
    let port = inputs["database"].as_u64().unwrap_or_default() as u16;
    for host in ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"] {
        let to: net::SocketAddr = (host.parse::<net::IpAddr>()?, port).into();
        let met = net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(3));
        attempt(format!("connect to {to}"), met.map(|_| "connected".to_owned()));
    }
    attempt("a datagram".to_owned(), net::UdpSocket::bind("127.0.0.1:0").map(|_| "bound".to_owned()));
    attempt("a port".to_owned(), net::TcpListener::bind("127.0.0.1:0").map(|_| "bound".to_owned()));
    for path in [text(&inputs["database_socket"]), text(&inputs["docker_socket"])] {
        attempt(path.clone(), UnixStream::connect(&path).map(|_| "connected".to_owned()));
    }
    for pid in [&inputs["node_pid"], &sibling["pid"], &stranger["pid"]] {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -9 {pid}")]).output();
        if sent.is_ok_and(|sent| sent.status.success()) {
            attempt(format!("kill {pid}"), Ok("sent".to_owned()));
        }
    }
    // What holds neither the channel nor the output, in a session of its own.
    let left = "exec setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' \"$0\" </dev/null >/dev/null 2>&1 &";
    Command::new("/bin/sh").args(["-c", left, &text(&inputs["mark"])]).status()?;
    Ok(json!({ "escaped": escaped, "refused": refused }))
}
"##;

#[test]
fn a_hostile_module_in_rust_reaches_nothing_either() {
    let stage = Stage::with(&[]);
    let attacker = stage.attacker();
    Rust::new("agent:rusty", SPY).write(attacker);
    attacker.write("napt.toml", "[workspace]\nmembers = [\"rusty\"]\n");
    attacker.napt(&["deploy", "-m", "agent:rusty", "--no-verify"]).expect(0);
    let run = stage.start("agent:rusty", &json!({}));
    let mut out = Refused.judge(&run);
    out.extend(stage.harm(&run));
    out.extend(stage.end());
    assert!(out.is_empty(), "{} got out:\n{}", out.len(), out.join("\n"));
}
