-- Times are milliseconds since the Unix epoch.

CREATE TABLE users (
    id      TEXT PRIMARY KEY,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE challenges (
    hash    TEXT PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT;

-- Only the hash of a token is kept.
CREATE TABLE tokens (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    hash    TEXT NOT NULL UNIQUE,
    name    TEXT NOT NULL,
    verbs   TEXT NOT NULL,
    modules TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE INDEX tokens_of_user ON tokens (user_id);

-- What search shows: copied from the version that `version` names, in the transaction that changes it.
CREATE TABLE modules (
    id          INTEGER PRIMARY KEY,
    type        TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    description TEXT NOT NULL,
    keywords    TEXT NOT NULL,
    published   INTEGER NOT NULL,
    UNIQUE (type, name)
) STRICT;

CREATE TABLE owners (
    module_id INTEGER NOT NULL REFERENCES modules (id),
    user_id   TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (module_id, user_id)
) STRICT;

CREATE TABLE versions (
    id          INTEGER PRIMARY KEY,
    module_id   INTEGER NOT NULL REFERENCES modules (id),
    version     TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    size        INTEGER NOT NULL,
    runtime     TEXT NOT NULL,
    deps        TEXT NOT NULL,
    manifest    TEXT NOT NULL,
    readme      TEXT,
    publisher   TEXT NOT NULL REFERENCES users (id),
    published   INTEGER NOT NULL,
    yanked      INTEGER NOT NULL DEFAULT 0,
    yank_reason TEXT,
    UNIQUE (module_id, version)
) STRICT;

-- Who did what, for the operator.
CREATE TABLE events (
    id        INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    user_id   TEXT NOT NULL,
    action    TEXT NOT NULL,
    module_id INTEGER NOT NULL,
    version   TEXT NOT NULL,
    detail    TEXT
) STRICT;

CREATE VIEW entries AS
SELECT m.type, m.name, v.*
FROM versions v JOIN modules m ON m.id = v.module_id;
