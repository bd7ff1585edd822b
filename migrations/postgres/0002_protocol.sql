-- What the Durable Streams protocol adds: lifetimes, forks, producers. The same step, with the same
-- names, is in ../sqlite.

-- Seconds without use after which it goes away; NULL when that does not depend on use.
ALTER TABLE streams ADD COLUMN ttl_secs BIGINT;
-- When it goes away if nobody uses it any more, in milliseconds since 1970; NULL for never. With
-- ttl_secs a little late, so that not every use has to be written down.
ALTER TABLE streams ADD COLUMN expires_ms BIGINT;
-- The stream that this one branches off from, and its name. Content before fork_at is that one's.
ALTER TABLE streams ADD COLUMN source BIGINT;
ALTER TABLE streams ADD COLUMN source_name TEXT;
-- {records:016}_{bytes:016}
ALTER TABLE streams ADD COLUMN fork_at TEXT;
-- What was asked for: an offset or nothing, a plus, and how far behind it.
ALTER TABLE streams ADD COLUMN fork_asked TEXT;
-- 1: deleted, and kept for the streams that branch off from it.
ALTER TABLE streams ADD COLUMN hidden BIGINT NOT NULL DEFAULT 0;
-- The greatest Stream-Seq.
ALTER TABLE streams ADD COLUMN last_seq TEXT;

CREATE INDEX streams_expires ON streams (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE INDEX streams_source ON streams (source) WHERE source IS NOT NULL;
CREATE INDEX streams_hidden ON streams (id) WHERE hidden = 1;

-- What each idempotent producer of a stream has done last, so that a repetition is known.
CREATE TABLE producers (
    stream BIGINT NOT NULL,
    producer TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- 1: that append closed the stream.
    closed BIGINT NOT NULL,
    -- Where the stream ended behind the last few appends: records and bytes, little-endian u64 each.
    results BYTEA NOT NULL,
    PRIMARY KEY (stream, producer)
);
