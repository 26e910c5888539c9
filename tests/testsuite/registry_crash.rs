//! A registry that is killed between two steps of a publish: afterwards nothing is half there, and the same publish
//! succeeds. This tests the death of the process, not the loss of power.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use napt::{
    identity::SecretKey,
    registry::{self, Options, Step},
};
use napt_registry_client::{IndexAnswer, PublishStatus};
use semver::Version;
use tempfile::TempDir;
use url::Url;

use crate::support::{
    modules,
    registry::{client, proof, stored},
};

const V1: Version = Version::new(1, 0, 0);
const FOLDER: &str = "NAPT_TEST_CRASH_FOLDER";
const STEP: &str = "NAPT_TEST_CRASH_STEP";

/// Not a test of its own: the registry that the tests below start as a child process and that kills itself.
#[test]
#[expect(clippy::print_stdout, reason = "its parent reads where it listens")]
fn doomed_registry() {
    let (Some(folder), Ok(doom)) = (std::env::var_os(FOLDER), std::env::var(STEP)) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut options = Options::new(([127, 0, 0, 1], 0).into(), folder);
        options.on_step = Some(Arc::new(move |step: Step| {
            if format!("{step:?}") == doom {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL).expect("a signal");
            }
        }));
        let running = registry::serve(options).await.expect("a registry");
        println!("\nlistening {}", running.url());
        std::future::pending::<()>().await;
    });
}

fn start(folder: &Path, doom: &str) -> (Child, Url) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "registry_crash::doomed_registry", "--nocapture"])
        .env(FOLDER, folder)
        .env(STEP, doom)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = lines
        .find_map(|line| line.expect("text").strip_prefix("listening ").map(|url| url.parse().expect("a URL")))
        .expect("it listens");
    (child, url)
}

#[tokio::test]
async fn killed_at_any_step_nothing_is_half_there_and_the_retry_succeeds() {
    for (step, visible, blobs) in [
        ("Received", false, 0),
        ("Verified", false, 0),
        ("Stored", false, 1),
        ("Synced", false, 1),
        ("Visible", true, 1),
    ] {
        let folder = TempDir::new().expect("a folder");
        let (path, sha256) = modules::archive(folder.path(), "agent:a", "1.0.0", "1");
        let data = folder.path().join("data");
        let (mut child, url) = start(&data, step);
        let anonymous = client(url.clone(), None);
        let challenge = anonymous.challenge().await.expect("a challenge").challenge;
        let proof = proof(&SecretKey::generate(), &anonymous.host(), challenge);
        let token = anonymous.sign_up(&proof).await.expect("an account").token;
        let dying = client(url, Some(&token)).publish("agent", "a", &V1, &path, &sha256).await;
        assert!(dying.is_err(), "{step}: it died");
        let status = child.wait().expect("an end");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{step}: by its own hand");

        let (mut child, url) = start(&data, "never");
        let client = client(url, Some(&token));
        let found = client.index_if_changed("agent", "a", None).await.expect("an answer");
        assert_eq!(matches!(found, IndexAnswer::Found { .. }), visible, "{step}");
        assert_eq!(stored(&data).len(), blobs, "{step}: staging is empty, a blob alone is harmless");
        let again = client.publish("agent", "a", &V1, &path, &sha256).await.expect("published");
        let expected = if visible { PublishStatus::AlreadyPublished } else { PublishStatus::Created };
        assert_eq!(again.status, expected, "{step}");
        client.download("agent", "a", &V1, &sha256, &folder.path().join("got")).await.expect("the archive");
        assert_eq!(stored(&data).len(), 1, "{step}");
        child.kill().expect("killed");
        child.wait().expect("an end");
    }
}
