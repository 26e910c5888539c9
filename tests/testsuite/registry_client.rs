//! The registry's client against servers that misbehave: a clear error, in bounded time and memory.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use napt_registry_client::{ClientError, Policy, PublishStatus, RegistryClient};
use semver::Version;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::support::{
    faults::{Faults, Reply, losing_proxy, response},
    modules,
    registry::{TestRegistry, client},
};

const V1: Version = Version::new(1, 0, 0);
const JSON: &str = "Content-Type: application/json\r\n";

fn block_on<F: Future>(future: F) -> F::Output {
    Runtime::new().expect("a runtime").block_on(future)
}

/// A client that gives up within a second.
fn hasty(url: &Url, token: Option<&str>) -> RegistryClient {
    client(url.clone(), token).with_policy(Policy {
        tries: 2,
        base_wait: Duration::from_millis(1),
        call_timeout: Duration::from_millis(300),
        max_answer: 100_000,
        max_archive: 100_000,
        rate_window: Duration::from_millis(300),
        max_retry_after: Duration::from_secs(1),
        ..Policy::default()
    })
}

#[test]
fn what_is_no_index_is_a_clear_error() {
    let drip = |head: &str, pause| Reply::Drip(format!("HTTP/1.1 200 OK\r\n{JSON}{head}\r\n"), pause);
    let slowly = Some(Duration::from_millis(20));
    let other = r#"{"format":1,"name":"b","type":"agent","version":"1.0.0","deps":[],"sha256":"","size":1,"yanked":false,"runtime":"data","published":"2026-01-01T00:00:00Z"}"#;
    let astray = other.replace("\"b\"", "\"a\"").replace("\"sha256\":\"\"", "\"sha256\":\"../../etc\"");
    for (name, reply, expected, requests) in [
        ("a digest that is a path", response("200 OK", JSON, &astray), "Garbage", 1),
        ("HTML with 200", response("200 OK", "Content-Type: text/html\r\n", "<html>Welcome</html>"), "Garbage", 1),
        ("half a line", response("200 OK", JSON, "{\"format\":1,"), "Garbage", 1),
        ("not UTF-8", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff".to_vec()), "Garbage", 1),
        ("another module", response("200 OK", JSON, other), "Garbage", 1),
        ("a redirect", response("302 Found", "Location: http://127.0.0.1:1/\r\n", ""), "Garbage", 1),
        ("a proxy's 404", response("404 Not Found", "Content-Type: text/html\r\n", "<html>"), "Status", 1),
        ("a refusal", response("403 Forbidden", "", ""), "Status", 1),
        ("an overload", response("503 Service Unavailable", "", ""), "Status", 2),
        ("a later overload", response("503 Service Unavailable", "Retry-After: 900\r\n", ""), "Status", 1),
        ("a wrong length", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_vec()), "Unreachable", 2),
        ("not HTTP", Reply::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()), "Unreachable", 2),
        ("a reset", Reply::Reset, "Unreachable", 2),
        ("silence", Reply::Hang, "Timeout", 2),
        ("a byte at a time", drip("Content-Length: 9999\r\n", slowly), "Timeout", 2),
        ("no end", drip("Connection: close\r\n", None), "TooLarge", 1),
    ] {
        let server = Faults::start(move |_, _| reply.clone());
        let started = Instant::now();
        let error = block_on(hasty(&server.url, None).index("agent", "a")).expect_err(name);
        let shown = format!("{error:?}");
        assert!(shown.starts_with(expected), "{name}: {shown}");
        assert!(error.to_string().contains("127.0.0.1"), "{name} says where: {error}");
        assert_eq!(server.requests(), requests, "{name}");
        assert!(started.elapsed() < Duration::from_secs(10), "{name}");
    }
}

#[test]
fn what_passes_is_tried_again_and_retry_after_is_obeyed() {
    let server = Faults::start(|number, _| match number {
        0 => response("503 Service Unavailable", "Retry-After: 1\r\n", ""),
        _ => response("404 Not Found", "Content-Type: application/problem+json\r\n", "{}"),
    });
    let started = Instant::now();
    assert_eq!(block_on(hasty(&server.url, None).index("agent", "a")).expect("an answer"), None);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_refusal_cannot_command_the_terminal() {
    let problem = serde_json::json!({ "detail": format!("no\u{1b}[2J{}", "!".repeat(10_000)), "hint": "a\u{7}b" });
    let server = Faults::start(move |_, _| response("403 Forbidden", JSON, &problem.to_string()));
    let error = block_on(hasty(&server.url, None).index("agent", "a")).expect_err("a refusal");
    let ClientError::Status { problem, .. } = &error else { panic!("{error:?}") };
    assert!(problem.detail.starts_with("no\u{fffd}[2J!") && problem.detail.len() < 5000, "{error}");
    assert_eq!(problem.hint.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn later_formats_and_unknown_fields_are_passed_over() {
    let now = Timestamp::now();
    let line = format!(
        r#"{{"format":1,"name":"a","type":"agent","version":"1.0.0","deps":[],"sha256":"{}","size":1,"yanked":false,"runtime":"data","published":"{now}","later":{{}}}}"#,
        "ab".repeat(32)
    );
    let body = format!("{{\"format\":2,\"versions\":[]}}\n{line}\n");
    let server = Faults::start(move |_, _| response("200 OK", JSON, &body));
    let entries = block_on(hasty(&server.url, None).index("agent", "a")).expect("an index").expect("a module");
    assert_eq!(entries.len(), 1);
}

#[test]
fn a_download_that_is_not_what_the_index_says_leaves_no_file() {
    let slowly = Some(Duration::from_millis(20));
    let body = "x".repeat(1000);
    for (name, reply, expected) in [
        ("other bytes", response("200 OK", "", &body), "WrongDigest"),
        ("too long", response("200 OK", "", &"x".repeat(100_001)), "TooLarge"),
        ("no end", Reply::Drip("HTTP/1.1 200 OK\r\n\r\n".to_owned(), None), "TooLarge"),
        ("trickling", Reply::Drip("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_owned(), slowly), "Timeout"),
        ("cut off", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()), "Unreachable"),
        ("in circles", response("302 Found", "Location: /again\r\n", ""), "Garbage"),
        ("to a file", response("302 Found", "Location: file:///etc/passwd\r\n", ""), "Garbage"),
    ] {
        let server = Faults::start(move |_, _| reply.clone());
        let folder = TempDir::new().expect("a folder");
        let into = folder.path().join("a.napt");
        let error =
            block_on(hasty(&server.url, None).download("agent", "a", &V1, &"0".repeat(64), &into)).expect_err(name);
        assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "{name}");
    }
}

#[test]
fn a_redirected_download_carries_no_token() {
    let body = "the archive";
    let storage = Faults::start(move |_, head| match head.to_lowercase().contains("authorization") {
        true => response("500 Leaked", "", ""),
        false => response("200 OK", "", body),
    });
    let there = format!("Location: {}blob\r\n", storage.url);
    let registry =
        Faults::start(move |_, head| match head.contains("Bearer secret") || head.contains("bearer secret") {
            true => response("307 Temporary Redirect", &there, ""),
            false => response("401 Unauthorized", "", ""),
        });
    let folder = TempDir::new().expect("a folder");
    let into = folder.path().join("a.napt");
    let sha256 = napt::identity::body_digest(body.as_bytes());
    block_on(hasty(&registry.url, Some("secret")).download("agent", "a", &V1, &sha256, &into)).expect("downloaded");
    assert_eq!(std::fs::read_to_string(&into).expect("a file"), body);
}

#[test]
fn a_publish_whose_answer_is_lost_succeeds() {
    let registry = TestRegistry::start();
    let token = registry.sign_up(&napt::identity::SecretKey::generate()).token;
    let folder = TempDir::new().expect("a folder");
    let (path, sha256) = modules::archive(folder.path(), "agent:a", "1.0.0", "1");
    let proxy = losing_proxy(&registry.url, "PUT", 1);
    let client = client(proxy, Some(&token));
    let published = registry.block_on(client.publish("agent", "a", &V1, &path, &sha256)).expect("published");
    assert_eq!(published.status, PublishStatus::AlreadyPublished, "the index said so");
    assert_eq!(registry.index("agent:a").expect("a module").lines().count(), 1);
}

#[test]
fn a_publish_is_not_sent_again_when_the_index_has_it() {
    let folder = TempDir::new().expect("a folder");
    let (path, sha256) = modules::archive(folder.path(), "agent:a", "1.0.0", "1");
    let now = Timestamp::now();
    let index = format!(
        r#"{{"format":1,"name":"a","type":"agent","version":"1.0.0","deps":[],"sha256":"{sha256}","size":1,"yanked":false,"runtime":"data","published":"{now}"}}"#
    );
    let server = Faults::start(move |number, head| match (number, head.starts_with("PUT")) {
        (0, true) => response("502 Bad Gateway", "", ""),
        (_, true) => response("400 Sent Twice", "", ""),
        (_, false) => response("200 OK", JSON, &index),
    });
    let client = hasty(&server.url, None);
    let published = block_on(client.publish("agent", "a", &V1, &path, &sha256)).expect("published");
    assert_eq!(published.status, PublishStatus::AlreadyPublished);
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_login_is_not_repeated_once_it_may_have_arrived() {
    let server = Faults::start(|_, _| Reply::Reset);
    let proof = crate::support::registry::proof(&napt::identity::SecretKey::generate(), "x", "y".into());
    let error = block_on(hasty(&server.url, None).sign_up(&proof)).err().expect("refused");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert_eq!(server.requests(), 1);
}
