//! Password accounts: what a sign-up that proves nothing is worth beside a key that proves itself.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use napt::{
    identity::SecretKey,
    registry::{Limits, Rate},
};
use serde_json::{Value, json};

use super::hub::{call, connect, refused, sign_up};
use crate::support::{
    Sandbox,
    registry::{TestRegistry, limits},
    terminal,
    websocket::Socket,
};

const SECRETS: &str = "SELECT * FROM api_secrets;";

fn sign_in(registry: &TestRegistry, name: &str, password: &str) -> (Socket, Value) {
    let mut socket = connect(registry);
    let reply = call(&mut socket, "signin", &json!([{ "username": name, "password": password }]));
    (socket, reply)
}

/// A sandbox whose `napt` has this key.
fn with_key(registry: &TestRegistry, key: &SecretKey) -> Sandbox {
    let sandbox = registry.sandbox();
    let path = sandbox.home().join("napt/config/identity.key");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, key.to_hex()).expect("a file");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
    sandbox
}

#[test]
fn a_token_says_whose_it_is() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let given = json!([{ "username": "Ada", "password": "pass word 1!", "public_key": key.public().to_string() }]);
    let reply = call(&mut connect(&registry), "signup", &given);
    let token = reply["result"].as_str().expect("a token").to_owned();
    let claims = token.split('.').nth(1).expect("claims");
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON");
    assert_eq!(claims["ID"], key.public().user_id());
    for claim in ["iat", "nbf", "exp", "iss", "jti", "NS", "DB", "AC"] {
        assert!(!claims[claim].is_null(), "{claim}");
    }
    // The password is kept as a hash only.
    let stored = std::fs::read(registry.data().join("registry.db-wal")).expect("records");
    let holds = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
    assert!(holds(b"$argon2id$") && !holds(b"pass word 1!"));
}

#[test]
fn names_and_passwords_that_are_refused() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate().public().to_string();
    let mut socket = connect(&registry);
    let mut refusal = |name: &str, password: &str, key: &str| {
        let given = json!([{ "username": name, "password": password, "public_key": key }]);
        refused(&call(&mut socket, "signup", &given))
    };
    for name in ["", "a b", "../x", ".x", "a/b", "a:b", "é", "a\nb", &"x".repeat(65)] {
        assert!(refusal(name, "secret", &key).contains("`username` must"), "{name}");
    }
    for password in ["", &"x".repeat(1025)] {
        assert!(refusal("ada", password, &key).contains("`password` must"));
    }
    for key in ["", "00", &"0".repeat(128), &"g".repeat(128)] {
        assert!(refusal("ada", "secret", key).contains("`public_key`"), "{key}");
    }
}

// Naptha's defects: A13
#[test]
fn a_sign_up_takes_nothing_from_a_key_that_was_proved() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    with_key(&registry, &key).napt(&["login"]).expect(0);
    let (mut socket, reply) = sign_up(&registry, "mallory", &key);
    assert!(refused(&reply).contains("`napt login --username NAME`"), "{reply}");
    assert_eq!(refused(&call(&mut socket, "query", &json!([SECRETS]))), "sign in first");
}

// Naptha's defects: A13
#[test]
fn a_password_that_was_set_without_the_key_ends_when_the_key_is_proved() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let (mut mallory, reply) = sign_up(&registry, "mallory", &key);
    assert!(reply["result"].is_string(), "{reply}");
    assert!(call(&mut mallory, "query", &json!([SECRETS]))["error"].is_null());
    let node = json!({
        "ip": "mallory.example", "user_communication_protocol": "http", "user_communication_port": 7001,
        "node_communication_protocol": "ws",
    });
    assert!(call(&mut mallory, "create", &json!([key.public().node_id(), node]))["error"].is_null());
    register(&mut mallory, &key);

    let mut holder = with_key(&registry, &key);
    let ran = holder.napt(&["login"]).expect(0);
    assert!(
        ran.stderr.contains("The password of `mallory` was set for your key before it was proved"),
        "{}",
        ran.stderr
    );
    // Calls to the key's node do not go where mallory said.
    assert!(call(&mut mallory, "select", &json!([key.public().node_id()]))["result"].is_null());
    // On the connection that was open, and on a new one.
    let lost = refused(&call(&mut mallory, "create", &json!(["agent:x", { "module_url": "u" }])));
    assert!(lost.contains("did not prove the key") && lost.contains("napt login --username mallory"), "{lost}");
    let (_, reply) = sign_in(&registry, "mallory", "secret");
    assert!(refused(&reply).contains("did not prove the key"), "{reply}");

    holder.set("HUB_PASSWORD", "the holder's own password");
    let set = holder.napt(&["login", "--username", "Ada", "--message-format", "json"]).expect(0).json();
    assert_eq!(set["data"]["username"], "Ada");
    let (mut ada, reply) = sign_in(&registry, "ada", "the holder's own password");
    assert!(reply["result"].is_string(), "{reply}");
    // What mallory registered is not the holder's, and its name is free.
    assert_eq!(call(&mut ada, "query", &json!([SECRETS]))["result"][0]["result"], json!([]));
    assert!(call(&mut ada, "select", &json!(["agent:claimed"]))["result"].is_null());
    let (mut bob, _) = sign_up(&registry, "bob", &SecretKey::generate());
    assert!(call(&mut bob, "create", &json!(["agent:claimed", { "module_url": "u" }]))["error"].is_null());
    assert_eq!(refused(&sign_in(&registry, "mallory", "secret").1), "no user has this name and password");
    assert!(refused(&call(&mut mallory, "query", &json!([SECRETS]))).contains("another password now"));

    // A new password ends the sign-ins with the old one; the name is not another's to take.
    holder.set("HUB_PASSWORD", "yet another password");
    holder.napt(&["login", "--username", "ada"]).expect(0);
    assert!(refused(&call(&mut ada, "query", &json!([SECRETS]))).contains("another password now"));
    let mut other = with_key(&registry, &SecretKey::generate());
    other.set("HUB_PASSWORD", "the password of the other");
    let ran = other.napt(&["login", "--username", "ADA"]).expect(6);
    assert!(ran.stderr.contains("the user name `ADA` is taken"), "{}", ran.stderr);
    assert!(refused(&sign_up(&registry, "aDa", &SecretKey::generate()).1).contains("is taken"));
}

/// Registers a module and a secret.
fn register(socket: &mut Socket, key: &SecretKey) {
    let made = call(socket, "create", &json!(["agent:claimed", { "module_url": "u" }]));
    assert!(made["error"].is_null(), "{made}");
    let insert = "BEGIN TRANSACTION;\nINSERT INTO api_secrets $records;\nCOMMIT TRANSACTION;";
    let secret = json!({ "user_id": key.public().user_id(), "key_name": "KEY", "secret_value": "x" });
    let made = call(socket, "query", &json!([insert, { "records": [secret] }]));
    assert!(made["error"].is_null(), "{made}");
}

#[test]
fn who_signed_up_and_proves_the_key_with_the_same_password_keeps_all() {
    let registry = TestRegistry::start();
    for (name, password, keeps) in [("ADA", "secret", true), ("ada", "another one", false), ("eve", "secret", false)] {
        let key = SecretKey::generate();
        let (mut ada, _) = sign_up(&registry, "ada", &key);
        register(&mut ada, &key);
        let mut holder = with_key(&registry, &key);
        holder.set("HUB_PASSWORD", password);
        holder.napt(&["login", "--username", name]).expect(0);
        let (mut ada, _) = sign_in(&registry, name, password);
        let secrets = call(&mut ada, "query", &json!([SECRETS]))["result"][0]["result"].clone();
        assert_eq!(secrets.as_array().map(Vec::len), Some(usize::from(keeps)), "{name} {password}");
        let module = call(&mut ada, "delete", &json!(["agent:claimed"]))["result"].clone();
        assert_eq!(module.is_object(), keeps, "{name} {password}");
        // The name is free for the next.
        holder.set("HUB_PASSWORD", "x");
        holder.napt(&["login", "--username", &format!("was-{}", &key.public().to_string()[..8])]).expect(0);
    }
}

#[test]
fn a_password_is_asked_for_at_a_terminal_only() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let sandbox = with_key(&registry, &key);
    let ran = sandbox.napt(&["login", "--username", "ada"]).expect(2);
    assert!(ran.stderr.contains("set `HUB_PASSWORD`"), "{}", ran.stderr);
    let ran = terminal::run(&sandbox, &["login", "--username", "ada"], &[("Password for", "typed in the dark\r")]);
    ran.expect_ref(0);
    assert!(!ran.stdout.contains("dark"), "{}", ran.stdout);
    assert!(sign_in(&registry, "ada", "typed in the dark").1["result"].is_string());
}

#[test]
fn a_narrower_token_sets_no_password() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.napt(&["login"]).expect(0);
    let ran = sandbox.napt(&["token", "new", "--publish", "*"]).expect(0);
    let wanted = napt_registry_client::PasswordRequest { username: "ada".to_owned(), password: "secret".to_owned() };
    let refusal = registry.block_on(registry.client(Some(ran.stdout.trim())).set_password(&wanted)).err();
    assert!(refusal.expect("a refusal").to_string().contains("manage the account"));
}

#[test]
fn guessing_is_slow() {
    let registry = TestRegistry::with_limits(Limits {
        failed_logins: Rate { burst: 3, refill: Duration::from_secs(60) },
        ..limits()
    });
    sign_up(&registry, "ada", &SecretKey::generate());
    for name in ["ada", "nobody", "ada"] {
        assert_eq!(refused(&sign_in(&registry, name, "wrong").1), "no user has this name and password");
    }
    // The right one too: whoever guesses does not learn that it is.
    let refusal = refused(&sign_in(&registry, "ada", "secret").1);
    assert!(refusal.contains("too many attempts") && refusal.contains("try again in"), "{refusal}");
    registry.advance(jiff::SignedDuration::from_secs(61));
    assert!(sign_in(&registry, "ada", "secret").1["result"].is_string());
}

#[test]
fn signing_in_again_and_again_is_slow() {
    let registry =
        TestRegistry::with_limits(Limits { sign_ins: Rate { burst: 3, refill: Duration::from_secs(1) }, ..limits() });
    sign_up(&registry, "ada", &SecretKey::generate());
    for _ in 0..3 {
        assert!(sign_in(&registry, "ada", "secret").1["result"].is_string());
    }
    assert!(refused(&sign_in(&registry, "ada", "secret").1).contains("too many attempts"));
    registry.advance(jiff::SignedDuration::from_secs(1));
    assert!(sign_in(&registry, "ada", "secret").1["result"].is_string());
}

#[test]
fn signing_up_again_and_again_is_slow() {
    let registry = TestRegistry::with_limits(Limits {
        challenges: Rate { burst: 2, refill: Duration::from_secs(60) },
        ..limits()
    });
    for name in ["a", "b"] {
        assert!(sign_up(&registry, name, &SecretKey::generate()).1["result"].is_string());
    }
    assert!(refused(&sign_up(&registry, "c", &SecretKey::generate()).1).contains("too many attempts"));
}
