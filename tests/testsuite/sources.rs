//! Modules from git: fetched, adopted where they have no manifest, pinned, deployed and run.

use serde_json::json;

use crate::support::{Sandbox, node::TestNode, repository::Repository};

#[test]
fn a_naptha_agent_is_deployed_from_a_tag_and_run() {
    let node = TestNode::start(&[]);
    let repository = Repository::of_fixture(&node.sandbox.home(), "hello_world_agent", "v0.16");
    let tagged = repository.head();
    // What came after the tag plays no part.
    repository.write("hello_world_agent/run.py", "raise RuntimeError('later')\n");
    repository.commit("later");
    let deploy = ["deploy", "--git", &repository.url(), "--tag", "v0.16"];
    let ran = node.napt(&deploy).expect(0);
    assert!(ran.stderr.contains(&format!("Fetching {}?tag=v0.16", repository.url())), "{}", ran.stderr);
    let run = node.user().run("agent:hello_world_agent", json!({"firstname": "sam", "surname": "smith"}));
    assert_eq!(run.result.as_deref(), Some("Hello sam smith"), "{:?}", run.error);

    // Again it is the same, and nothing is there to do; by its commit it is the same too.
    node.napt(&deploy).expect(0);
    let by_commit = node.napt(&["deploy", "--git", &repository.url(), "--rev", &tagged, "agent:hello_world_agent"]);
    assert!(by_commit.expect(0).stdout.contains("live already"));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let sandbox = Sandbox::new();
    let repository = Repository::of_fixture(&sandbox.home(), "hello_world_agent", "v0.16");
    let node = TestNode::start_in(sandbox, &[]);
    let url = repository.url();
    for (arguments, code, told) in [
        (vec!["--git", &url, "--tag", "v0.17"], 1, "did you mean `v0.16`?"),
        (vec!["--git", &url, "--branch", "mian"], 1, "did you mean `main`?"),
        (vec!["--git", &url, "--rev", "0123456"], 1, "has no tag, branch or commit `0123456`"),
        (vec!["--git", &url, "agent:hello_wrld_agent"], 1, "name `agent:hello_world_agent`"),
        (vec!["--git", "file:///nowhere/at/all"], 1, "there is no git repository at `file:///nowhere/at/all`"),
        (vec!["--git", "ipfs://bafybeigdyrzt"], 2, "is on IPFS"),
        (vec!["--git", &url, "--tag", "v0.16", "--branch", "main"], 2, "cannot be used with"),
        (vec!["https://example.org/a#v0.1"], 2, "write `napt deploy --git https://example.org/a --rev v0.1`"),
    ] {
        let ran = node.napt(&[&["deploy"], &*arguments].concat());
        ran.expect_ref(code);
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
}
