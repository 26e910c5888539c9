//! The tables, as steps: each is applied once, in order, and never changed afterwards.

/// Step `n` brings a database from version `n` to `n + 1` (SQLite's `user_version`).
pub(super) const STEPS: [&str; 2] = [
    "
CREATE TABLE users (id TEXT PRIMARY KEY) STRICT;
CREATE TABLE tokens (hash TEXT PRIMARY KEY, name TEXT NOT NULL, user TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
CREATE TABLE revisions (
    name TEXT NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, view TEXT NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, parent TEXT, root TEXT NOT NULL, module TEXT NOT NULL, version TEXT,
    consumer TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL, started INTEGER, finished INTEGER,
    error TEXT, inputs TEXT NOT NULL, result TEXT, deployment TEXT NOT NULL, signature TEXT NOT NULL,
    revision_of TEXT NOT NULL, revision INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_consumer ON runs (consumer, id);
CREATE INDEX runs_by_root ON runs (root, id);
CREATE INDEX runs_unfinished ON runs (status) WHERE finished IS NULL;
CREATE TABLE events (
    run TEXT NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE secrets (
    user TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, nodes TEXT NOT NULL,
    updated INTEGER NOT NULL, PRIMARY KEY (user, scope, name)
) STRICT;
",
];
