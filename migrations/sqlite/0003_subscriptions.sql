-- Subscriptions: who is woken by which streams. The same step, with the same names, is in ../postgres.

CREATE TABLE subscriptions (
    id TEXT PRIMARY KEY,
    -- What was asked for, and where it is, each a JSON document.
    config TEXT NOT NULL,
    state TEXT NOT NULL
);

-- The streams of a subscription and how far they are processed.
CREATE TABLE subscription_links (
    subscription TEXT NOT NULL,
    -- The name; there need not be such a stream.
    stream TEXT NOT NULL,
    -- 1: linked by name, 0: by the pattern.
    explicit INTEGER NOT NULL,
    -- The id of the stream that the position belongs to. NULL while there is none.
    life INTEGER,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (subscription, stream)
);

-- One row: all streams with a smaller id have been compared with all patterns.
CREATE TABLE subscription_progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    compared INTEGER NOT NULL
);
INSERT INTO subscription_progress (one, compared) VALUES (1, 0);

-- Keys that the server has made for itself.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
