-- Subscriptions: who is woken by which streams. The same step, with the same names, is in ../sqlite.

CREATE TABLE subscriptions (
    id TEXT COLLATE "C" PRIMARY KEY,
    -- What was asked for, and where it is, each a JSON document.
    config TEXT NOT NULL,
    state TEXT NOT NULL
);

-- The streams of a subscription and how far they are processed.
CREATE TABLE subscription_links (
    subscription TEXT COLLATE "C" NOT NULL,
    -- The name; there need not be such a stream.
    stream TEXT COLLATE "C" NOT NULL,
    -- 1: linked by name, 0: by the pattern.
    explicit BIGINT NOT NULL,
    -- The id of the stream that the position belongs to. NULL while there is none.
    life BIGINT,
    records BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (subscription, stream)
);

-- One row: all streams with a smaller id have been compared with all patterns.
CREATE TABLE subscription_progress (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    compared BIGINT NOT NULL
);
INSERT INTO subscription_progress (one, compared) VALUES (1, 0);

-- Keys that the server has made for itself.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
