-- Whether the key's holder has signed a challenge. A sign-up at Naptha's hub proves nothing.
ALTER TABLE users ADD COLUMN proved INTEGER NOT NULL DEFAULT 1;

-- Accounts with a password, as Naptha's clients need them: one a key.
CREATE TABLE hub_accounts (
    user_id   TEXT PRIMARY KEY REFERENCES users (id),
    username  TEXT NOT NULL,
    folded    TEXT NOT NULL UNIQUE,
    password  TEXT NOT NULL,
    -- Whether the key's holder has set the password.
    confirmed INTEGER NOT NULL
) STRICT;

-- Modules without versions of their own: where else they are kept.
CREATE TABLE pointers (
    module_id      INTEGER PRIMARY KEY REFERENCES modules (id),
    url            TEXT NOT NULL,
    version        TEXT NOT NULL,
    parameters     TEXT NOT NULL,
    entrypoint     TEXT NOT NULL,
    execution_type TEXT NOT NULL
) STRICT;

-- What Naptha's nodes say of themselves and of their servers.
CREATE TABLE hub_nodes (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    record  TEXT NOT NULL
) STRICT;

CREATE TABLE hub_servers (
    id       TEXT PRIMARY KEY,
    user_id  TEXT NOT NULL REFERENCES users (id),
    protocol TEXT NOT NULL,
    port     INTEGER NOT NULL
) STRICT;

CREATE INDEX hub_servers_of_user ON hub_servers (user_id);

-- Texts that only their user can read: clients encrypt them for a node.
CREATE TABLE hub_secrets (
    user_id  TEXT NOT NULL REFERENCES users (id),
    key_name TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (user_id, key_name)
) STRICT;
