-- Streams and their content. The same step, with the same names, is in ../sqlite.

-- One row: how often a server has started on this database. The numbers of streams are made from
-- it, so that none is ever used twice.
CREATE TABLE server (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    starts BIGINT NOT NULL
);
INSERT INTO server (one, starts) VALUES (1, 0);

CREATE TABLE streams (
    -- One life of a name; a name that begins anew gets another number.
    id BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    content_type TEXT NOT NULL,
    -- Where the stored content ends: how many records and bytes there are.
    records BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- 1: to be closed when the server that produces it is gone.
    tied BIGINT NOT NULL,
    -- Why it is closed: finished, interrupted, broken-off. NULL while it is open.
    closed TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- Found at every start; there are few, however many streams there are.
CREATE INDEX streams_tied ON streams (id) WHERE tied = 1 AND closed IS NULL;

-- Runs of neighbouring records. `SELECT body ... ORDER BY at_bytes` is the content of a stream.
CREATE TABLE chunks (
    stream BIGINT NOT NULL,
    -- The position of the first byte: bytes and records of the stream before it.
    at_bytes BIGINT NOT NULL,
    at_records BIGINT NOT NULL,
    -- The length of every record, each a little-endian u32; empty for a single record.
    lengths BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (stream, at_bytes)
);
-- Content is read as a whole and often compressed already: do not spend time on compressing it.
ALTER TABLE chunks ALTER COLUMN body SET STORAGE EXTERNAL;
