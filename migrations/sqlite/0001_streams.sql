-- Streams and their content. The same step, with the same names, is in ../postgres.

-- One row: how often a server has started on this database. The numbers of streams are made from
-- it, so that none is ever used twice.
CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    starts INTEGER NOT NULL
);
INSERT INTO server (one, starts) VALUES (1, 0);

CREATE TABLE streams (
    -- One life of a name; a name that begins anew gets another number.
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    content_type TEXT NOT NULL,
    -- Where the stored content ends: how many records and bytes there are.
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- 1: to be closed when the server that produces it is gone.
    tied INTEGER NOT NULL,
    -- Why it is closed: finished, interrupted, broken-off. NULL while it is open.
    closed TEXT,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- Found at every start; there are few, however many streams there are.
CREATE INDEX streams_tied ON streams (id) WHERE tied = 1 AND closed IS NULL;

-- Runs of neighbouring records. `SELECT body ... ORDER BY at_bytes` is the content of a stream.
CREATE TABLE chunks (
    stream INTEGER NOT NULL,
    -- The position of the first byte: bytes and records of the stream before it.
    at_bytes INTEGER NOT NULL,
    at_records INTEGER NOT NULL,
    -- The length of every record, each a little-endian u32; empty for a single record.
    lengths BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (stream, at_bytes)
);
