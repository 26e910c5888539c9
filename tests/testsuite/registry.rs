//! The registry's rules, through its HTTP door.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use jiff::SignedDuration;
use napt::{
    identity::{SecretKey, Token},
    registry::{self, Limits, Options, Rate, RegistryError},
    report::{Fault, Kind},
};
use napt_registry_client::{ClientError, Problem, PublishStatus, TokenRequest, Verb};
use semver::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Sandbox, archives, modules,
    registry::{TestRegistry, limits, proof},
};

static V1: Version = Version::new(1, 0, 0);

/// A registry, a user's token and a folder for archives.
struct Scene {
    registry: TestRegistry,
    token: String,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(limits())
    }

    fn with(limits: Limits) -> Self {
        let registry = TestRegistry::with_limits(limits);
        let token = registry.sign_up(&SecretKey::generate()).token;
        Scene { registry, token, folder: TempDir::new().expect("a folder") }
    }

    fn archive(&self, id: &str, version: &str, content: &str) -> (Vec<u8>, String) {
        let (path, sha256) = modules::archive(self.folder.path(), id, version, content);
        (std::fs::read(path).expect("an archive"), sha256)
    }

    /// One request, as it is. The answer's status and JSON.
    fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Vec<u8>>) -> (u16, Value) {
        let url = self.registry.url.join(path).expect("a URL");
        self.registry.block_on(async {
            let method = method.parse().expect("a method");
            let mut request = reqwest::Client::new().request(method, url);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body);
            }
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            let text = response.text().await.expect("a body");
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
    }

    /// A call of the scene's user.
    fn mine(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> (u16, Value) {
        self.call(method, path, Some(&format!("Bearer {}", self.token)), body)
    }

    /// Runs `act` and asserts that neither archives nor the module's index have changed.
    fn untouched<T>(&self, module: &str, act: impl FnOnce() -> T) -> T {
        let before = (self.registry.blobs(), self.registry.index(module));
        let result = act();
        assert_eq!((self.registry.blobs(), self.registry.index(module)), before);
        result
    }
}

// Naptha's defects: C3
#[test]
fn the_same_bytes_are_fine_and_other_bytes_are_a_conflict() {
    let scene = Scene::new();
    let (bytes, sha256) = scene.archive("agent:a", "1.0.0", "1");
    let path = "api/v1/modules/agent/a/1.0.0";
    assert_eq!(scene.mine("PUT", path, Some(bytes.clone())), (201, json!({ "status": "created" })));
    let again = scene.untouched("agent:a", || scene.mine("PUT", path, Some(bytes)));
    assert_eq!(again, (200, json!({ "status": "already_published" })));

    let (other, other_sha256) = scene.archive("agent:a", "1.0.0", "2");
    let (status, problem) = scene.untouched("agent:a", || scene.mine("PUT", path, Some(other)));
    assert_eq!(status, 409);
    assert_eq!(problem["type"], "urn:napt:registry:version-conflict");
    assert_eq!(problem["published_sha256"], *sha256);
    assert_eq!(problem["given_sha256"], *other_sha256);
    assert_eq!(problem["published"], scene.registry.now().to_string());
}

#[test]
fn what_is_served_is_what_the_archive_says() {
    let scene = Scene::new();
    let (bytes, sha256) = scene.archive("agent:a", "1.0.0", "1");
    scene.mine("PUT", "api/v1/modules/agent/a/1.0.0", Some(bytes.clone()));
    let index = scene.registry.index("agent:a").expect("a module");
    let line: Value = serde_json::from_str(&index).expect("one line");
    assert_eq!(
        line,
        json!({
            "format": 1, "name": "a", "type": "agent", "version": "1.0.0", "deps": [], "sha256": sha256,
            "size": bytes.len(), "yanked": false, "runtime": "data", "published": scene.registry.now(),
        })
    );
    let (status, details) = scene.call("GET", "api/v1/modules/agent/a", None, None);
    assert_eq!(status, 200);
    assert_eq!(details["description"], "A module for tests");
    assert_eq!(details["owners"].as_array().map(Vec::len), Some(1));
    assert_eq!(details["versions"][0]["sha256"], *sha256);
    let (_, found) = scene.call("GET", "api/v1/modules?q=MODULE%20tests&type=agent", None, None);
    assert_eq!(found["total"], 1);
    assert_eq!(found["items"][0]["name"], "a");
    for nothing in ["q=nonesuch", "q=tests%20nonesuch", "type=kb", "q=%25", "q='"] {
        let (status, found) = scene.call("GET", &format!("api/v1/modules?{nothing}"), None, None);
        assert_eq!((status, &found["total"]), (200, &json!(0)), "{nothing}");
    }
    assert_eq!(scene.call("GET", "api/v1/modules?type=nonsense", None, None).0, 400);
}

#[test]
fn an_archive_of_another_module_is_refused() {
    let scene = Scene::new();
    let (bytes, _) = scene.archive("agent:a", "1.0.0", "1");
    for path in ["agent/a/1.0.1", "agent/b/1.0.0", "tool/a/1.0.0"] {
        let put = || scene.mine("PUT", &format!("api/v1/modules/{path}"), Some(bytes.clone()));
        let (status, problem) = scene.untouched("agent:a", put);
        assert_eq!((status, &problem["type"]), (422, &json!("urn:napt:registry:wrong-module")), "{path}");
    }
    for path in ["agent/a/1.0", "agent/a/1.0.0+x", "agent/A/1.0.0", "agent/con/1.0.0", "thing/a/1.0.0"] {
        let put = || scene.mine("PUT", &format!("api/v1/modules/{path}"), Some(bytes.clone()));
        assert_eq!(scene.untouched("agent:a", put).0, 400, "{path}");
    }
    assert!(scene.registry.blobs().is_empty());
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let scene = Scene::new();
    let corpus = archives::hostile();
    assert!(corpus.len() > 50, "{} archives", corpus.len());
    for (name, bytes, phrase) in corpus {
        let (status, problem) = scene.mine("PUT", "api/v1/modules/agent/odd/1.0.0", Some(bytes));
        assert_eq!((status, &problem["type"]), (422, &json!("urn:napt:registry:archive")), "{name}: {problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(phrase), "{name}: {detail}");
        assert!(!detail.contains("staging"), "{name} shows a path of the server: {detail}");
        assert!(scene.registry.blobs().is_empty(), "{name}");
        assert_eq!(scene.registry.index("agent:odd"), None, "{name}");
    }
}

#[test]
fn odd_archives_that_are_good_are_taken() {
    for (name, bytes) in archives::good() {
        let (status, problem) = Scene::new().mine("PUT", "api/v1/modules/agent/odd/1.0.0", Some(bytes));
        assert_eq!(status, 201, "{name}: {problem}");
    }
}

// Naptha's defects: C1
#[test]
fn a_module_belongs_to_its_first_publisher() {
    let scene = Scene::new();
    let (bytes, _) = scene.archive("agent:a", "1.0.0", "1");
    scene.mine("PUT", "api/v1/modules/agent/a/1.0.0", Some(bytes));
    let other = format!("Bearer {}", scene.registry.sign_up(&SecretKey::generate()).token);
    let (next, _) = scene.archive("agent:a", "1.0.1", "2");
    for (method, path, body) in [
        ("PUT", "api/v1/modules/agent/a/1.0.1", Some(next.clone())),
        ("PUT", "api/v1/modules/agent/a/1.0.0/yank", None),
        ("DELETE", "api/v1/modules/agent/a/1.0.0/yank", None),
    ] {
        let (status, problem) = scene.untouched("agent:a", || scene.call(method, path, Some(&other), body));
        assert_eq!((status, &problem["type"]), (403, &json!("urn:napt:registry:not-owner")), "{method} {path}");
    }
    // The name is taken within its type only.
    let (tool, _) = scene.archive("tool:a", "1.0.0", "3");
    assert_eq!(scene.call("PUT", "api/v1/modules/tool/a/1.0.0", Some(&other), Some(tool)).0, 201);
}

#[test]
fn tokens_that_do_not_allow_it_are_refused() {
    let scene = Scene::new();
    let (bytes, _) = scene.archive("agent:a", "1.0.0", "1");
    let client = scene.registry.client(Some(&scene.token));
    let expires = scene.registry.now() + SignedDuration::from_hours(1);
    let token = |verbs: &[Verb], pattern: &str| {
        let wanted = TokenRequest { name: "t".into(), verbs: verbs.into(), modules: pattern.into(), expires };
        scene.registry.block_on(client.create_token(&wanted)).expect("a token")
    };
    let (yank, other, good) =
        (token(&[Verb::Yank], "*"), token(&[Verb::Publish], "agent:b*"), token(&[Verb::Publish], "agent:*"));
    let revoked = token(&[Verb::Publish], "*");
    scene.registry.block_on(client.revoke_token(&revoked.info.id)).expect("revoked");
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let put = |header: Option<String>| {
        scene.call("PUT", "api/v1/modules/agent/a/1.0.0", header.as_deref(), Some(bytes.clone()))
    };
    for (header, status, kind) in [
        (None, 401, "no-token"),
        (Some(String::new()), 401, "malformed-token"),
        (Some("Bearer".to_owned()), 401, "malformed-token"),
        (bearer("napt_short"), 401, "malformed-token"),
        (bearer(&format!("napt_{}", "z".repeat(48))), 401, "malformed-token"),
        (Some(format!("Basic {}", scene.token)), 401, "malformed-token"),
        (bearer(Token::generate().reveal()), 401, "unknown-token"),
        (bearer(&scene.token.to_uppercase().replace("NAPT", "napt")), 401, "unknown-token"),
        (bearer(&revoked.token), 401, "unknown-token"),
        (bearer(&yank.token), 403, "token-scope"),
        (bearer(&other.token), 403, "token-scope"),
    ] {
        let (found, problem) = scene.untouched("agent:a", || put(header.clone()));
        assert_eq!((found, &problem["type"]), (status, &json!(format!("urn:napt:registry:{kind}"))), "{header:?}");
        assert!(!problem.to_string().contains(&scene.token[5..]), "no secret is repeated");
    }
    assert!(scene.registry.blobs().is_empty());
    // A narrow token makes no wider one, and sees no others.
    for (method, path) in [("POST", "api/v1/tokens"), ("GET", "api/v1/tokens")] {
        let body = (method == "POST")
            .then(|| json!({"verbs": ["publish"], "modules": "*", "expires": expires}).to_string().into());
        assert_eq!(scene.call(method, path, bearer(&good.token).as_deref(), body).0, 403);
    }
    let (_, listed) = scene.mine("GET", "api/v1/tokens", None);
    assert_eq!(listed.as_array().map(Vec::len), Some(4), "the login's and three");
    assert!(!listed.to_string().contains("napt_"), "tokens are shown once");

    scene.registry.advance(SignedDuration::from_mins(61));
    assert_eq!(put(bearer(&good.token)).1["type"], "urn:napt:registry:expired-token");
    assert_eq!(put(bearer(&scene.token)).0, 201);
}

#[test]
fn tokens_are_asked_for_sensibly() {
    let scene = Scene::new();
    let now = scene.registry.now();
    let soon = now + SignedDuration::from_hours(1);
    for wanted in [
        json!({"verbs": [], "modules": "*", "expires": soon}),
        json!({"verbs": ["account"], "modules": "*", "expires": soon}),
        json!({"verbs": ["everything"], "modules": "*", "expires": soon}),
        json!({"verbs": ["publish"], "modules": "", "expires": soon}),
        json!({"verbs": ["publish"], "modules": "agent a", "expires": soon}),
        json!({"verbs": ["publish"], "modules": "*", "expires": now}),
        json!({"verbs": ["publish"], "modules": "*", "expires": now + SignedDuration::from_hours(24 * 400)}),
        json!({"verbs": ["publish"], "modules": "*"}),
        json!({"verbs": ["publish"], "modules": "*", "expires": soon, "modlues": "x"}),
    ] {
        let (status, problem) = scene.mine("POST", "api/v1/tokens", Some(wanted.to_string().into()));
        assert_eq!((status, &problem["status"]), (400, &json!(400)), "{wanted}");
    }
    let good = json!({"verbs": ["publish"], "modules": "*", "expires": soon}).to_string();
    let key = SecretKey::generate();
    let bearer = format!("Bearer {}", scene.registry.sign_up(&key).token);
    (0..200).for_each(|_| _ = scene.registry.sign_up(&key));
    let (status, _) = scene.call("POST", "api/v1/tokens", Some(&bearer), Some(good.into()));
    assert_eq!(status, 201, "logins do not count");
    assert_eq!(scene.mine("DELETE", "api/v1/tokens/nonesuch", None).0, 404);
    assert_eq!(scene.mine("DELETE", "api/v1/tokens/current", None).0, 200);
    assert_eq!(scene.mine("GET", "api/v1/me", None).0, 401);
}

#[test]
fn a_challenge_is_good_once_for_five_minutes_and_for_this_registry() {
    let registry = TestRegistry::start();
    let (client, key) = (registry.client(None), SecretKey::generate());
    let challenge = || registry.block_on(client.challenge()).expect("a challenge").challenge;
    let refused = |proof| match registry.block_on(client.sign_up(&proof)) {
        Err(ClientError::Status { status: 401, problem, .. }) => problem.problem_type,
        Err(error) => panic!("{error}"),
        Ok(answer) => panic!("let in: {}", answer.user),
    };
    let good = proof(&key, &client.host(), challenge());
    registry.block_on(client.sign_up(&good)).expect("an account");
    assert_eq!(refused(good), "urn:napt:registry:challenge", "replayed");

    let late = proof(&key, &client.host(), challenge());
    registry.advance(SignedDuration::from_mins(5));
    assert_eq!(refused(late), "urn:napt:registry:challenge", "expired");

    let elsewhere = proof(&key, "evil.example", challenge());
    assert_eq!(refused(elsewhere), "urn:napt:registry:proof", "signed for another host");

    let mut stolen = proof(&key, &client.host(), challenge());
    stolen.public_key = SecretKey::generate().public().to_string();
    assert_eq!(refused(stolen.clone()), "urn:napt:registry:proof", "of another key");
    stolen.signature = key.sign(b"something else");
    assert_eq!(refused(stolen), "urn:napt:registry:challenge", "one attempt each");

    let made_up = proof(&key, &client.host(), "00".repeat(32));
    assert_eq!(refused(made_up), "urn:napt:registry:challenge", "never issued");
}

#[test]
fn failed_logins_are_limited_and_good_ones_are_not() {
    let failed_logins = Rate { burst: 2, refill: Duration::from_secs(60) };
    let registry = TestRegistry::with_limits(Limits { failed_logins, ..limits() });
    let (client, key) = (registry.client(None), SecretKey::generate());
    let bad = proof(&key, &client.host(), "00".repeat(32));
    for _ in 0..5 {
        registry.sign_up(&key);
    }
    let attempt = || registry.block_on(client.sign_up(&bad));
    for _ in 0..2 {
        assert!(matches!(attempt(), Err(ClientError::Status { status: 401, .. })));
    }
    match attempt() {
        Err(ClientError::Status { status: 429, retry_after: Some(wait), .. }) => {
            assert_eq!(wait, Duration::from_secs(61));
        }
        other => panic!("{:?}", other.map(|answer| answer.user)),
    }
    registry.advance(SignedDuration::from_secs(60));
    registry.sign_up(&key);
}

#[test]
fn the_index_is_revalidated_and_archives_are_immutable() {
    let scene = Scene::new();
    let (bytes, sha256) = scene.archive("agent:a", "1.0.0", "1");
    scene.mine("PUT", "api/v1/modules/agent/a/1.0.0", Some(bytes.clone()));
    let get = |path: &str, headers: &[(&'static str, &str)]| {
        let url = scene.registry.url.join(path).expect("a URL");
        scene.registry.block_on(async {
            let mut request = reqwest::Client::new().get(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await.expect("an answer");
            let (status, head) = (response.status().as_u16(), response.headers().clone());
            (status, head, response.bytes().await.expect("a body").to_vec())
        })
    };
    let (status, head, _) = get("index/agent/a", &[]);
    let etag = head["etag"].to_str().expect("text").to_owned();
    assert_eq!(status, 200);
    let (status, _, body) = get("index/agent/a", &[("if-none-match", &etag)]);
    assert_eq!((status, body.len()), (304, 0));
    let (second, _) = scene.archive("agent:a", "1.1.0", "1");
    scene.mine("PUT", "api/v1/modules/agent/a/1.1.0", Some(second));
    let (status, _, body) = get("index/agent/a", &[("if-none-match", &etag)]);
    assert_eq!((status, String::from_utf8(body).expect("text").lines().count()), (200, 2));
    assert_eq!(get("index/agent/nonesuch", &[]).0, 404);

    let path = "api/v1/modules/agent/a/1.0.0/download";
    let (status, head, body) = get(path, &[]);
    assert_eq!((status, &body), (200, &bytes));
    assert_eq!(head["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(head["etag"], format!("\"{sha256}\""));
    assert_eq!(get(path, &[("if-none-match", &format!("\"{sha256}\""))]).0, 304);
    let (status, head, body) = get(path, &[("range", "bytes=2-5")]);
    assert_eq!((status, &body[..]), (206, &bytes[2..6]));
    assert_eq!(head["content-range"], format!("bytes 2-5/{}", bytes.len()));
    assert_eq!(get(path, &[("range", "bytes=99999999-")]).0, 416);
    assert_eq!(get("api/v1/modules/agent/a/9.9.9/download", &[]).0, 404);
}

#[test]
fn yanking_hides_nothing_and_can_be_taken_back() {
    let scene = Scene::new();
    let client = scene.registry.client(Some(&scene.token));
    for version in ["1.0.0", "1.1.0"] {
        let (bytes, _) = scene.archive("agent:a", version, "1");
        scene.mine("PUT", &format!("api/v1/modules/agent/a/{version}"), Some(bytes));
    }
    let newest = Version::new(1, 1, 0);
    let shown = || scene.registry.block_on(client.module("agent", "a")).expect("an answer").expect("a module");
    for _ in 0..2 {
        scene.registry.block_on(client.yank("agent", "a", &newest, Some("leaks"))).expect("yanked");
    }
    assert_eq!(shown().summary.version, V1.clone(), "search shows what is not yanked");
    assert_eq!(shown().versions[0].entry.yank_reason.as_deref(), Some("leaks"));
    assert!(shown().versions[0].entry.yanked);
    scene.registry.block_on(client.unyank("agent", "a", &newest)).expect("unyanked");
    assert_eq!(shown().summary.version, newest);
    assert_eq!(shown().versions[0].entry.yank_reason, None);
    assert_eq!(scene.mine("PUT", "api/v1/modules/agent/a/7.0.0/yank", None).0, 404);
    let (status, problem) = scene.mine("PUT", "api/v1/modules/agent/a/7.0.0/yank", Some(vec![b' '; 3 << 20]));
    assert_eq!((status, problem["title"].as_str()), (400, Some("Bad request")));
}

/// Sends raw bytes and reads whatever comes back.
fn raw(scene: &Scene, head: &str, body: &[u8], close: bool) -> String {
    let address = scene.registry.url.socket_addrs(|| None).expect("an address")[0];
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!("{head}Host: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n", scene.token);
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    if close {
        stream.shutdown(std::net::Shutdown::Write).expect("closed");
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn bodies_that_break_off_lie_trickle_or_never_end_leave_nothing() {
    let package = napt::package::Limits { packed: 100_000, ..Default::default() };
    let scene = Scene::with(Limits { package, body_window: Duration::from_millis(200), ..limits() });
    let (bytes, _) = scene.archive("agent:a", "1.0.0", "1");
    let put = "PUT /api/v1/modules/agent/a/1.0.0 HTTP/1.1\r\n";

    let answer = raw(&scene, &format!("{put}Content-Length: {}\r\n", bytes.len() + 1), &bytes, true);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "cut off: {answer}");
    let answer = raw(&scene, &format!("{put}Content-Length: {}\r\n", bytes.len() + 1), &bytes, false);
    assert!(answer.starts_with("HTTP/1.1 408"), "too slow: {answer}");
    let answer =
        raw(&scene, &format!("{put}Content-Length: {}\r\n", bytes.len() - 1), &bytes[..bytes.len() - 1], false);
    assert!(answer.starts_with("HTTP/1.1 422"), "short by a byte: {answer}");
    let answer = raw(&scene, &format!("{put}Content-Length: 100001\r\n"), &vec![0; 100_001], false);
    assert!(answer.starts_with("HTTP/1.1 413"), "too large: {answer}");
    let mut chunked = b"186a1\r\n".to_vec();
    chunked.extend(vec![0; 100_001]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let answer = raw(&scene, &format!("{put}Transfer-Encoding: chunked\r\n"), &chunked, false);
    assert!(answer.starts_with("HTTP/1.1 413"), "too large without saying so: {answer}");
    let length = format!("{put}Content-Length: {}\r\n", bytes.len());
    for (header, status) in [
        ("Content-Digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\r\n", 422),
        ("Digest: SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", 422),
        ("Content-Digest: sha-256=:AAAA:\r\n", 400),
        ("Content-Digest: nonsense\r\n", 400),
    ] {
        let answer = raw(&scene, &format!("{length}{header}"), &bytes, false);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{header}: {answer}");
    }
    assert!(scene.registry.blobs().is_empty() && scene.registry.index("agent:a").is_none());
    let answer = raw(&scene, "POST /api/v1/tokens HTTP/1.1\r\nContent-Length: 10\r\n", b"{", false);
    assert!(answer.starts_with("HTTP/1.1 408"), "a small body that never ends: {answer}");
    let answer = raw(&scene, &length, &bytes, false);
    assert!(answer.starts_with("HTTP/1.1 201"), "the same publish without a fault: {answer}");
}

#[test]
fn no_smaller_limit_than_the_archives_own_is_in_the_way() {
    let scene = Scene::new();
    let (status, problem) = scene.mine("PUT", "api/v1/modules/agent/a/1.0.0", Some(vec![7; 10_000_000]));
    assert_eq!((status, &problem["type"]), (422, &json!("urn:napt:registry:archive")), "{problem}");
}

#[test]
fn of_32_publishers_of_one_version_one_wins() {
    let scene = Scene::new();
    let (path, sha256) = modules::archive(scene.folder.path(), "agent:a", "1.0.0", "1");
    let client = scene.registry.client(Some(&scene.token));
    let results = scene.registry.block_on(async {
        let calls = (0..32).map(|_| client.publish("agent", "a", &V1, &path, &sha256));
        futures_util::future::join_all(calls).await
    });
    let statuses: Vec<_> = results.into_iter().map(|result| result.expect("published").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == PublishStatus::Created).count(), 1);
    assert_eq!(scene.registry.index("agent:a").expect("a module").lines().count(), 1);
    assert_eq!(scene.registry.blobs().len(), 1);
}

#[test]
fn of_32_publishers_of_two_contents_one_wins_and_nothing_is_half_visible() {
    let scene = Scene::new();
    let archives = ["1", "2"].map(|content| modules::archive(scene.folder.path(), "agent:a", "1.0.0", content));
    let client = scene.registry.client(Some(&scene.token));
    let (results, seen) = scene.registry.block_on(async {
        let calls = (0..32).map(|number| {
            let (path, sha256) = &archives[number % 2];
            client.publish("agent", "a", &V1, path, sha256)
        });
        // Whoever reads meanwhile sees nothing, or the one version with its archive.
        let read = async {
            let mut seen = Vec::new();
            for number in 0..20 {
                for entry in client.index("agent", "a").await.expect("an answer").unwrap_or_default() {
                    let into = scene.folder.path().join(format!("read-{number}"));
                    client.download("agent", "a", &V1, &entry.sha256, &into).await.expect("its archive");
                    seen.push(entry.sha256);
                }
            }
            seen
        };
        tokio::join!(futures_util::future::join_all(calls), read)
    });
    let index = scene.registry.index("agent:a").expect("a module");
    let winner = archives.iter().position(|(_, sha256)| index.contains(sha256)).expect("one of them");
    assert_eq!(index.lines().count(), 1);
    assert!(seen.iter().all(|sha256| *sha256 == archives[winner].1));
    let mut created = 0;
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(published) => {
                assert_eq!(number % 2, winner);
                created += usize::from(published.status == PublishStatus::Created);
            }
            Err(ClientError::Status { status: 409, .. }) => assert_ne!(number % 2, winner),
            Err(error) => panic!("{number}: {error:?}"),
        }
    }
    assert_eq!(created, 1);
}

#[test]
fn every_refusal_is_a_problem_with_a_detail() {
    let scene = Scene::new();
    for (method, path, status) in [
        ("GET", "nonsense", 404),
        ("DELETE", "index/agent/a", 405),
        ("GET", "index/agent/a", 404),
        ("GET", "index/nonsense/a", 400),
        ("GET", "index/agent/%2e%2e%2fa", 400),
        ("GET", "index/agent/%ff", 400),
        ("GET", "api/v1/modules/agent/a/%ff/download", 400),
        ("GET", "api/v1/modules/agent/a", 404),
        ("GET", "api/v1/modules/agent/a/x/download", 400),
        ("GET", "api/v1/me", 401),
        ("POST", "api/v1/accounts", 400),
        ("GET", "api/v1/modules?page=minus", 400),
    ] {
        let (found, problem) = scene.call(method, path, None, None);
        assert_eq!(found, status, "{method} {path}");
        let problem: Problem = serde_json::from_value(problem).expect("problem JSON");
        assert!(problem.status == status && !problem.detail.is_empty(), "{method} {path}: {problem:?}");
    }
}

#[test]
fn a_failure_inside_shows_nothing_of_the_inside() {
    let scene = Scene::new();
    let (bytes, _) = scene.archive("agent:a", "1.0.0", "1");
    scene.mine("PUT", "api/v1/modules/agent/a/1.0.0", Some(bytes));
    for blob in scene.registry.blobs().keys() {
        std::fs::remove_file(blob).expect("removed");
    }
    let (status, problem) = scene.call("GET", "api/v1/modules/agent/a/1.0.0/download", None, None);
    assert_eq!(status, 500);
    assert_eq!(problem["detail"], "the registry failed; its log says why");
    assert!(!problem.to_string().contains("sha256"), "{problem}");
}

#[test]
fn one_registry_a_folder_and_a_url_for_the_world() {
    let registry = TestRegistry::start();
    let options = Options::new(([127, 0, 0, 1], 0).into(), registry.data());
    let error = registry.block_on(registry::serve(options)).expect_err("the folder is taken");
    assert!(matches!(error, RegistryError::Locked(_)), "{error}");
    let folder = TempDir::new().expect("a folder");
    let error = registry.block_on(registry::serve(Options::new(([0, 0, 0, 0], 0).into(), folder.path())));
    let error = error.expect_err("no URL");
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.hint().is_some_and(|hint| hint.contains("--url")));
}

#[test]
fn the_command_says_where_it_listens_and_stops_when_told() {
    let mut sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["--message-format", "json", "registry", "--listen", "127.0.0.1:0", "--data", "data"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("napt starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["event"], "listening");
    sandbox.set("NAPT_REGISTRY", event["data"]["url"].as_str().expect("a URL"));
    sandbox.napt(&["login"]).expect(0);
    modules::write(&sandbox, "m", "persona:ada", "0.1.0", "");
    sandbox.napt(&["-C", "m", "publish"]).expect(0);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert!(child.wait().expect("an end").success());
    line.clear();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["ok"], true);
}

#[test]
fn a_registry_that_has_stopped_has_closed_its_database() {
    let mut registry = TestRegistry::start();
    registry.sandbox().napt(&["login"]).expect(0);
    assert!(registry.data().join("registry.db-wal").exists());
    registry.stop();
    assert!(!registry.data().join("registry.db-wal").exists());
}
