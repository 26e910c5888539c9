-- The directory of nodes. A record is there as long as its node says so now and then.
CREATE TABLE nodes (
    id     TEXT PRIMARY KEY,
    owner  TEXT NOT NULL,
    name   TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    seen   INTEGER NOT NULL
) STRICT;

-- A name stays its first owner's, also while none of their nodes has it.
CREATE TABLE node_names (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL
) STRICT;
