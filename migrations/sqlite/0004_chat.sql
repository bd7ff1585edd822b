-- Chat: conversations, who takes part, messages and what belongs to them. The same step, with the same
-- names, is in ../postgres. All times are milliseconds since 1970, and a position is the number of an
-- event of the conversation.

CREATE TABLE conversations (
    name TEXT PRIMARY KEY,
    -- What stands for the name in the full-text search.
    number INTEGER NOT NULL UNIQUE,
    title TEXT,
    -- Who created it.
    admin TEXT NOT NULL,
    created INTEGER NOT NULL,
    -- group, direct
    kind TEXT NOT NULL,
    -- The id of its stream, which holds the events.
    stream INTEGER NOT NULL,
    -- A JSON document.
    settings TEXT NOT NULL,
    -- 1: messages go away by themselves.
    retention INTEGER NOT NULL,
    -- Everything up to this event is in these tables, and how many messages count up to there.
    position INTEGER NOT NULL DEFAULT 0,
    n INTEGER NOT NULL DEFAULT 0,
    -- What is before this is gone: events, their bytes, and how many messages counted among them.
    low_records INTEGER NOT NULL DEFAULT 0,
    low_bytes INTEGER NOT NULL DEFAULT 0,
    low_n INTEGER NOT NULL DEFAULT 0,
    -- When it was deleted. The row stays, so that the name is not used again.
    closed INTEGER
) WITHOUT ROWID;
CREATE INDEX conversations_retention ON conversations (name) WHERE retention = 1 AND closed IS NULL;

CREATE TABLE participants (
    conversation TEXT NOT NULL,
    participant TEXT NOT NULL,
    role TEXT NOT NULL,
    -- member, invited, left, banned
    standing TEXT NOT NULL,
    -- The position of the event that made them so.
    since INTEGER NOT NULL,
    -- They see what comes behind this: events and bytes.
    visible_records INTEGER NOT NULL,
    visible_bytes INTEGER NOT NULL,
    muted_until INTEGER,
    banned_until INTEGER,
    created INTEGER NOT NULL,
    PRIMARY KEY (conversation, participant)
) WITHOUT ROWID;
CREATE INDEX participants_of ON participants (participant, standing, conversation);

-- In the order in which they are read: the primary key is where a row lies.
CREATE TABLE messages (
    conversation TEXT NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    -- Empty when it is deleted.
    text TEXT NOT NULL,
    -- The id of the message that it answers.
    reply_to TEXT,
    created INTEGER NOT NULL,
    -- How many messages count, up to this one, and whether it is one of these.
    n INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    -- What its sender calls it.
    txn TEXT,
    -- The position of the first message of the thread that it is in.
    thread INTEGER,
    -- A JSON document: mentions, attachments and more.
    extra TEXT,
    -- How often it was edited, and when last.
    rev INTEGER NOT NULL DEFAULT 0,
    edited INTEGER,
    deleted INTEGER,
    deleted_by TEXT,
    -- 1: it still grows.
    streaming INTEGER NOT NULL,
    -- 1: it has stopped growing before its end.
    interrupted INTEGER NOT NULL DEFAULT 0,
    -- 1: it was sent elsewhere.
    imported INTEGER NOT NULL,
    -- The record of the stream that holds it.
    at_bytes INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (conversation, position)
) WITHOUT ROWID;
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

-- What a message has said before, and every record that it is in beside its own.
CREATE TABLE message_bodies (
    conversation TEXT NOT NULL,
    -- The position of the message.
    target INTEGER NOT NULL,
    -- The record of the stream.
    at_bytes INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- first: how it was sent, kept when it is edited. edit: what it said from then on. part: what it
    -- grew by, which is in its text; these have only a record.
    kind TEXT NOT NULL,
    rev INTEGER,
    text TEXT,
    source TEXT,
    created INTEGER,
    PRIMARY KEY (conversation, target, at_bytes)
) WITHOUT ROWID;

CREATE TABLE reactions (
    conversation TEXT NOT NULL,
    position INTEGER NOT NULL,
    participant TEXT NOT NULL,
    reaction TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (conversation, position, participant, reaction)
) WITHOUT ROWID;

CREATE TABLE pins (
    conversation TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- Who did it.
    participant TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (conversation, position)
) WITHOUT ROWID;

-- Whom messages mention; @all stands for everybody.
CREATE TABLE mentions (
    conversation TEXT NOT NULL,
    position INTEGER NOT NULL,
    participant TEXT NOT NULL,
    PRIMARY KEY (conversation, position, participant)
) WITHOUT ROWID;
CREATE INDEX mentions_of ON mentions (participant, conversation, position);

-- How far everybody is: positions up to which all has arrived and is read, and since when.
CREATE TABLE message_receipts (
    conversation TEXT NOT NULL,
    user_id TEXT NOT NULL,
    delivered INTEGER NOT NULL,
    delivered_at INTEGER,
    read INTEGER NOT NULL,
    read_at INTEGER,
    PRIMARY KEY (conversation, user_id)
) WITHOUT ROWID;

-- Complaints about messages, in the order in which they are read.
CREATE TABLE reports (
    conversation TEXT NOT NULL,
    created INTEGER NOT NULL,
    position INTEGER NOT NULL,
    participant TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (conversation, created, position, participant)
) WITHOUT ROWID;

-- The words of all complete messages. The rowid is the number of the conversation and, in its lower
-- 32 bits, the position, so that one conversation is one range. The text itself is only in `messages`,
-- and the triggers hand it out again when its words go away.
CREATE VIRTUAL TABLE message_search USING fts5 (
    text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 0'
);
-- What goes away is overwritten, and not only marked.
INSERT INTO message_search (message_search, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER message_search_insert AFTER INSERT ON messages
WHEN new.streaming = 0 AND new.text <> '' BEGIN
    INSERT INTO message_search (rowid, text)
        SELECT (number << 32) | new.position, new.text
        FROM conversations WHERE name = new.conversation;
END;

CREATE TRIGGER message_search_update AFTER UPDATE OF text, streaming ON messages BEGIN
    INSERT INTO message_search (message_search, rowid, text)
        SELECT 'delete', (number << 32) | old.position, old.text
        FROM conversations WHERE name = old.conversation AND old.streaming = 0 AND old.text <> '';
    INSERT INTO message_search (rowid, text)
        SELECT (number << 32) | new.position, new.text
        FROM conversations WHERE name = new.conversation AND new.streaming = 0 AND new.text <> '';
END;

CREATE TRIGGER message_search_delete AFTER DELETE ON messages
WHEN old.streaming = 0 AND old.text <> '' BEGIN
    INSERT INTO message_search (message_search, rowid, text)
        SELECT 'delete', (number << 32) | old.position, old.text
        FROM conversations WHERE name = old.conversation;
END;

-- What the planner has to know and would not find out by itself: how many rows there are of each value,
-- from the first column of an index on. Otherwise it takes all conversations for short ones.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('conversations', 'conversations', '10000 1'),
    ('participants', 'participants', '100000 10 1'),
    ('participants', 'participants_of', '100000 100 50 1'),
    ('messages', 'messages', '10000000 1000 1'),
    ('messages', 'messages_txn', '1000000 100 20 1'),
    ('messages', 'messages_thread', '1000000 100 10 1 1'),
    ('messages', 'messages_source', '10000000 1000 100 1'),
    ('messages', 'messages_reply_to', '1000000 100 2 1'),
    ('messages', 'messages_created', '10000000 1000 2 1'),
    ('messages', 'messages_deleted', '100000 10 1'),
    ('messages', 'messages_streaming', '10 1 1'),
    ('mentions', 'mentions', '1000000 100 1 1'),
    ('mentions', 'mentions_of', '1000000 100 10 1');
ANALYZE sqlite_schema;
