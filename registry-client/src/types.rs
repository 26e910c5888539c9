//! What crosses the wire. Unknown fields are ignored, so that older clients read newer registries.

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One version of a module: a line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The version of this line's shape; a reader skips lines of a format that it does not know.
    pub format: u32,
    /// The module's name.
    pub name: String,
    /// The module's type.
    #[serde(rename = "type")]
    pub module_type: String,
    /// The version.
    pub version: Version,
    /// The modules that it calls.
    pub deps: Vec<IndexDep>,
    /// The archive's digest, in lower-case hex.
    pub sha256: String,
    /// The archive's size in bytes.
    pub size: u64,
    /// Whether resolvers pass over it unless it is already pinned.
    pub yanked: bool,
    /// Why it was yanked, when its owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yank_reason: Option<String>,
    /// What runs it: `python`, `rust` or `data`.
    pub runtime: String,
    /// When it was published.
    pub published: Timestamp,
}

/// A dependency in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDep {
    /// The module's type.
    #[serde(rename = "type")]
    pub module_type: String,
    /// The module's name.
    pub name: String,
    /// Acceptable versions.
    pub req: VersionReq,
    /// The name of another registry that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
}

/// `GET /index/config.json`: where things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexConfig {
    /// The version of the index's lines.
    pub format: u32,
    /// The path of the API, below the registry's URL.
    pub api: String,
}

/// Why a server refused: RFC 9457 problem JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable identifier of the kind of problem.
    #[serde(rename = "type", default = "about_blank")]
    pub problem_type: String,
    /// The kind of problem in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong with this request.
    #[serde(default)]
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Facts that a program may want, by name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Whether this very call made it.
    pub status: PublishStatus,
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishStatus {
    /// The version is new.
    Created,
    /// The same bytes were there before.
    AlreadyPublished,
}

/// What a client signs to prove its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Random, used once.
    pub challenge: String,
    /// When it stops being accepted.
    pub expires: Timestamp,
}

/// The proof: `POST /api/v1/accounts`.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignUp {
    /// 128 hex digits.
    pub public_key: String,
    /// The challenge that was answered.
    pub challenge: String,
    /// Over [`crate::account_challenge_text`], 128 hex digits.
    pub signature: String,
    /// The account's name and password from before the key was proved: what was registered with these stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_account: Option<PasswordRequest>,
}

/// An account, and a token for it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignedUp {
    /// The user's id.
    pub user: String,
    /// Whether the account is new.
    pub created: bool,
    /// A bearer token with all of the account's rights.
    pub token: String,
    /// When the token stops being accepted.
    pub expires: Timestamp,
    /// The account's name and password for Naptha's clients, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_account: Option<PasswordAccount>,
}

/// An account by which Naptha's clients sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordAccount {
    /// The user name.
    pub username: String,
    /// Whether its password was set by the key's holder; else it is not accepted.
    pub confirmed: bool,
}

/// `PUT /api/v1/accounts/password`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The user name.
    pub username: String,
    /// The new password.
    pub password: String,
}

/// Whose token this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The user's id.
    pub user: String,
    /// What the token may do.
    pub token: TokenInfo,
}

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Publish versions.
    Publish,
    /// Yank and unyank versions.
    Yank,
    /// Make, list and revoke tokens. Only a login gives it.
    Account,
}

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What the user calls it.
    #[serde(default)]
    pub name: String,
    /// What it may do: `publish`, `yank`.
    pub verbs: Vec<Verb>,
    /// Which modules: `type:name`, where `*` stands for anything.
    pub modules: String,
    /// When it stops being accepted.
    pub expires: Timestamp,
}

/// A token, without the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Names the token when it is to be revoked.
    pub id: String,
    /// What the user calls it.
    pub name: String,
    /// What it may do.
    pub verbs: Vec<Verb>,
    /// Which modules.
    pub modules: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops being accepted.
    pub expires: Timestamp,
}

impl TokenInfo {
    /// Whether the token is for this module (`type:name`) too.
    pub fn covers(&self, module: &str) -> bool {
        matches(&self.modules, module)
    }
}

/// Whether `text` matches `pattern`, in which each `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// A token that was just made: the only time that it is shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewToken {
    /// The bearer token.
    pub token: String,
    /// What it may do.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// `PUT …/yank`; the body may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct YankRequest {
    /// Shown to whoever uses the version.
    #[serde(default)]
    pub reason: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many items all pages hold.
    pub total: u64,
}

/// A module in search results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSummary {
    /// The module's type.
    #[serde(rename = "type")]
    pub module_type: String,
    /// The module's name.
    pub name: String,
    /// The newest version that is not yanked, else the newest; stable before pre-release.
    pub version: Version,
    /// One sentence.
    pub description: String,
    /// When that version was published, or the source was last changed.
    pub published: Timestamp,
    /// Where it is kept, when the registry has no archive of it. `version` is then as near to the source's as a semantic
    /// version comes, and 0.0.0 where that is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModuleSource>,
}

/// Where a module is kept that a registry only points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSource {
    /// A Git repository or an archive.
    pub url: String,
    /// A tag, branch or commit of it.
    pub version: String,
}

/// One module with all that the registry knows of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModuleDetails {
    /// As in search results.
    #[serde(flatten)]
    pub summary: ModuleSummary,
    /// The users who may publish and yank.
    pub owners: Vec<String>,
    /// All versions, newest first; none when it has a `source`.
    pub versions: Vec<ModuleVersion>,
    /// The manifest of the version in `summary`, as its archive holds it; null when it has a `source`.
    pub manifest: Value,
    /// The README of that version.
    pub readme: Option<String>,
}

/// One version in [`ModuleDetails`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleVersion {
    /// As in the index.
    #[serde(flatten)]
    pub entry: IndexEntry,
    /// Who published it.
    pub publisher: String,
}

/// What a node says of itself: `PUT /api/v1/nodes/{id}`, signed with the node's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnnouncement {
    /// `node:` and its public key.
    pub id: String,
    /// Who runs it: `user:` and a public key.
    pub owner: String,
    /// What deployments call it, in lower case.
    pub name: String,
    /// Where it is reached.
    pub url: String,
    /// Models that it serves.
    #[serde(default)]
    pub models: Vec<String>,
    /// What it provides: `models`, `storage`, `modules`.
    #[serde(default)]
    pub provider_types: Vec<String>,
    /// The machine's architecture.
    #[serde(default)]
    pub arch: String,
    /// The machine's system.
    #[serde(default)]
    pub os: String,
    /// napt's version.
    #[serde(default)]
    pub version: String,
    /// The owner's, over [`crate::node_owner_text`].
    pub owner_signature: String,
}

/// A node in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What it said.
    #[serde(flatten)]
    pub node: NodeAnnouncement,
    /// When it said so last.
    pub seen: Timestamp,
}

/// The answer to an announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnnounced {
    /// When the record goes unless the node announces itself again.
    pub expires: Timestamp,
}

/// `GET /api/v1/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<NodeRecord>,
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "agent:chat", true),
            ("agent:*", "agent:chat", true),
            ("agent:*", "tool:chat", false),
            ("agent:chat", "agent:chat", true),
            ("agent:chat", "agent:chatter", false),
            ("agent:chat_*", "agent:chat_two", true),
            ("*:chat", "kb:chat", true),
            ("*:chat", "kb:chat_x", false),
            ("a*t:c*t", "agent:chat", true),
            ("a*t:c*t", "agent:cha", false),
            ("agent:ab*ba", "agent:aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
