//! `napt check`, rule by rule: variables and secrets.

use snapbox::{assert_data_eq, str};

use super::Module;
use crate::support::Sandbox;

#[test]
fn missing_variable() {
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""options": {"greeting": "${name}, $5"}"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""options": {"a": "Bearer ${FIRST_KEY}", "b": "$SECOND", "c": "env:THIRD", "api_key": "FOURTH_KEY", "url_env": "FIFTH", "d": "${FIRST_KEY}"}"#);
    m.write(".env", "SECOND=two\nexport THIRD='three'\nFOURTH_KEY=\n# FIFTH=5\n");
    m.write(".gitignore", ".env\n");
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[missing-variable]: `FIRST_KEY` is not set
 --> debate/configs/llm_configs.json:2:87
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "options": {"a": "Bearer ${FIRST_KEY}", "b": "$SECOND", "c": "en...
  |                                                                                       ^^^^^^^^^^^^^^^^^^^^^ named here
  |
  = note: looked for in the environment and in `.env`
  = help: set it, or write it into a `.env` beside `napt.toml` that git ignores; for runs, `napt secret set`

warning[missing-variable]: `FOURTH_KEY` is not set
 --> debate/configs/llm_configs.json:2:155
  |
2 | ..._KEY}", "b": "$SECOND", "c": "env:THIRD", "api_key": "FOURTH_KEY", "url_env": "FIFTH", "d": "${FIRST_KEY}"}},
  |                                                         ^^^^^^^^^^^^ named here
  |
  = note: looked for in the environment and in `.env`
  = help: set it, or write it into a `.env` beside `napt.toml` that git ignores; for runs, `napt secret set`

warning[missing-variable]: `FIFTH` is not set
 --> debate/configs/llm_configs.json:2:180
  |
2 | ..., "c": "env:THIRD", "api_key": "FOURTH_KEY", "url_env": "FIFTH", "d": "${FIRST_KEY}"}},
  |                                                            ^^^^^^^ named here
  |
  = note: looked for in the environment and in `.env`
  = help: set it, or write it into a `.env` beside `napt.toml` that git ignores; for runs, `napt secret set`

warning: 0 errors, 3 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_variable_of_a_provider() {
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""api_base": "http://localhost:8000/v1""#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""api_base": "https://api.openai.com/v1""#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[missing-variable]: `OPENAI_API_KEY` is not set
 --> debate/configs/llm_configs.json:2:38
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "api_base": "https://api.openai.com/v1"},
  |                                      ^^^^^^^^ a module that calls `api.openai.com` itself needs it
  |
  = note: looked for in the environment; there is no `.env`
  = help: set it, or write it into a `.env` beside `napt.toml` that git ignores; for runs, `napt secret set`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
    // With the node's completions it needs no key of its own.
    m.append("debate/run.py", "from naptha_sdk.inference import InferenceClient\n");
    m.passes();
}

#[test]
fn variables_are_looked_for_where_they_are_set() {
    let text = r#"[{"name": "a", "config": {"system_prompt": {"key": "${MY_KEY}"}}}]"#;
    let mut sandbox = Sandbox::new();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n");
    let manifest = "[module]\ntype = \"persona\"\nname = \"a\"\nversion = \"0.1.0\"\nentrypoint = \"a.json\"\n";
    sandbox.write("modules/a/napt.toml", manifest);
    sandbox.write("modules/a/a.json", "{}");
    sandbox.write("modules/a/README.md", "# a\n");
    sandbox.write("modules/a/configs/deployment.json", text);
    let told = |sandbox: &Sandbox| sandbox.napt(&["check", "-v"]).expect(0).stderr;
    assert!(told(&sandbox).contains("there is no `.env`"), "{}", told(&sandbox));
    // A value that no output may show.
    let secret = "correct-horse-battery";
    sandbox.write(".env", format!("OTHER={secret}\n"));
    let before = told(&sandbox);
    assert!(before.contains("in the environment and in `.env`"), "{before}");
    sandbox.write(".env", format!("MY_KEY={secret}\n"));
    let after = told(&sandbox);
    assert!(after.contains("no problems") && after.contains("names of variables are from `"), "{after}");
    sandbox.write(".env", "");
    sandbox.set("MY_KEY", secret);
    assert!(told(&sandbox).contains("no problems"));
    for text in [before, after, sandbox.napt(&["check", "--message-format", "json"]).expect(0).stdout] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn packaged_env() {
    let m = Module::good();
    m.write(".env", "OPENAI_API_KEY=1\n");
    m.write(".gitignore", "/.env\n");
    m.passes();
    let m = Module::good();
    m.write("debate/.env", "OPENAI_API_KEY=1\n");
    m.write(".env", "OPENAI_API_KEY=1\n");
    m.write(".gitignore", "/.env\n");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[packaged-env]: `debate/.env` would be packaged
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = note: git does not ignore it, and `exclude` of `[module]` does not leave it out
  = help: write `.env` into `.gitignore`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn secret_in_config() {
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""options": {"api_key": "<your own key>"}"#);
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/llm_configs.json",
        r#""max_tokens": 100"#,
        r#""options": {"api_key": "correct horse battery"}"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[secret-in-config]: this looks like a secret, by its key
 --> debate/configs/llm_configs.json:2:93
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "options": {"api_key": ***********************}},
  |                                                                                             ^^^^^^^^^^^^^^^^^^^^^^^
  |
  = note: whoever can read the package can read it
  = help: remove it, and revoke it where it was issued; a model provider's key belongs to the node

error: 1 error, 0 warnings in 1 module

"#]]
    );
}
