-- Chat: conversations, who takes part, messages and what belongs to them. The same step, with the same
-- names, is in ../sqlite. All times are milliseconds since 1970, and a position is the number of an
-- event of the conversation.

CREATE TABLE conversations (
    name TEXT COLLATE "C" PRIMARY KEY,
    -- What stands for the name in the full-text search.
    number BIGINT NOT NULL UNIQUE,
    title TEXT,
    -- Who created it.
    admin TEXT NOT NULL,
    created BIGINT NOT NULL,
    -- group, direct
    kind TEXT NOT NULL,
    -- The id of its stream, which holds the events.
    stream BIGINT NOT NULL,
    -- A JSON document.
    settings TEXT NOT NULL,
    -- 1: messages go away by themselves.
    retention BIGINT NOT NULL,
    -- Everything up to this event is in these tables, and how many messages count up to there.
    position BIGINT NOT NULL DEFAULT 0,
    n BIGINT NOT NULL DEFAULT 0,
    -- What is before this is gone: events, their bytes, and how many messages counted among them.
    low_records BIGINT NOT NULL DEFAULT 0,
    low_bytes BIGINT NOT NULL DEFAULT 0,
    low_n BIGINT NOT NULL DEFAULT 0,
    -- When it was deleted. The row stays, so that the name is not used again.
    closed BIGINT
);
CREATE INDEX conversations_retention ON conversations (name) WHERE retention = 1 AND closed IS NULL;

CREATE TABLE participants (
    conversation TEXT COLLATE "C" NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    -- member, invited, left, banned
    standing TEXT NOT NULL,
    -- The position of the event that made them so.
    since BIGINT NOT NULL,
    -- They see what comes behind this: events and bytes.
    visible_records BIGINT NOT NULL,
    visible_bytes BIGINT NOT NULL,
    muted_until BIGINT,
    banned_until BIGINT,
    created BIGINT NOT NULL,
    PRIMARY KEY (conversation, participant)
);
CREATE INDEX participants_of ON participants (participant, standing, conversation);

CREATE TABLE messages (
    conversation TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    -- Empty when it is deleted.
    text TEXT NOT NULL,
    -- The id of the message that it answers.
    reply_to TEXT COLLATE "C",
    created BIGINT NOT NULL,
    -- How many messages count, up to this one, and whether it is one of these.
    n BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    -- What its sender calls it.
    txn TEXT COLLATE "C",
    -- The position of the first message of the thread that it is in.
    thread BIGINT,
    -- A JSON document: mentions, attachments and more.
    extra TEXT,
    -- How often it was edited, and when last.
    rev BIGINT NOT NULL DEFAULT 0,
    edited BIGINT,
    deleted BIGINT,
    deleted_by TEXT,
    -- 1: it still grows.
    streaming BIGINT NOT NULL,
    -- 1: it has stopped growing before its end.
    interrupted BIGINT NOT NULL DEFAULT 0,
    -- 1: it was sent elsewhere.
    imported BIGINT NOT NULL,
    -- The record of the stream that holds it.
    at_bytes BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- The words of a complete message. Punctuation separates them, also in addresses and numbers, and
    -- the beginning is enough of one that is very long: Postgres refuses more than a MiB of words.
    search TSVECTOR GENERATED ALWAYS AS (CASE WHEN streaming = 0 THEN to_tsvector('simple', translate(
        left(text, 65536), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))) END) STORED,
    PRIMARY KEY (conversation, position)
);
CREATE UNIQUE INDEX messages_txn ON messages (conversation, source, txn) WHERE txn IS NOT NULL;
CREATE INDEX messages_thread ON messages (conversation, thread, position, deleted)
    WHERE thread IS NOT NULL;
CREATE INDEX messages_source ON messages (conversation, source, position);
CREATE INDEX messages_reply_to ON messages (conversation, reply_to, position)
    WHERE reply_to IS NOT NULL;
CREATE INDEX messages_created ON messages (conversation, created, position);
-- What is unread is a difference of two `n`, without these.
CREATE INDEX messages_deleted ON messages (conversation, position)
    WHERE deleted IS NOT NULL AND counted = 1;
-- Found at every start; there are few, however many messages there are.
CREATE INDEX messages_streaming ON messages (conversation, position) WHERE streaming = 1;
CREATE INDEX messages_search ON messages USING gin (search);

-- What a message has said before, and every record that it is in beside its own.
CREATE TABLE message_bodies (
    conversation TEXT COLLATE "C" NOT NULL,
    -- The position of the message.
    target BIGINT NOT NULL,
    -- The record of the stream.
    at_bytes BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- first: how it was sent, kept when it is edited. edit: what it said from then on. part: what it
    -- grew by, which is in its text; these have only a record.
    kind TEXT NOT NULL,
    rev BIGINT,
    text TEXT,
    source TEXT COLLATE "C",
    created BIGINT,
    PRIMARY KEY (conversation, target, at_bytes)
);

CREATE TABLE reactions (
    conversation TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    reaction TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (conversation, position, participant, reaction)
);

CREATE TABLE pins (
    conversation TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    -- Who did it.
    participant TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (conversation, position)
);

-- Whom messages mention; @all stands for everybody.
CREATE TABLE mentions (
    conversation TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation, position, participant)
);
CREATE INDEX mentions_of ON mentions (participant, conversation, position);

-- How far everybody is: positions up to which all has arrived and is read, and since when.
CREATE TABLE message_receipts (
    conversation TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    delivered BIGINT NOT NULL,
    delivered_at BIGINT,
    read BIGINT NOT NULL,
    read_at BIGINT,
    PRIMARY KEY (conversation, user_id)
);

-- Complaints about messages, in the order in which they are read.
CREATE TABLE reports (
    conversation TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    position BIGINT NOT NULL,
    participant TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (conversation, created, position, participant)
);
