-- people.sqlite as its first version made it, with somebody who has asked something.
CREATE TABLE schema_version (
    only INTEGER NOT NULL CHECK ("only" = 1),
    version INTEGER NOT NULL,
    PRIMARY KEY (only)
);
CREATE TABLE unfinished (
    number INTEGER NOT NULL,
    home TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    thread TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (number),
    UNIQUE (home, kind, owner, thread, name)
);
CREATE TABLE threads (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at FLOAT NOT NULL,
    used_at FLOAT NOT NULL,
    profile TEXT DEFAULT '' NOT NULL,
    options TEXT DEFAULT '{}' NOT NULL,
    UNIQUE (owner, id)
);
CREATE INDEX threads_by_use ON threads (owner, used_at, number);
CREATE TABLE threads_deleted (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE TABLE logins (
    id VARCHAR(32) NOT NULL,
    token_hash VARCHAR(64) NOT NULL,
    identity VARCHAR(120) NOT NULL,
    role VARCHAR(16) NOT NULL,
    name VARCHAR(120) NOT NULL,
    may_upload BOOLEAN NOT NULL,
    created_at FLOAT NOT NULL,
    ends_at FLOAT NOT NULL,
    is_guest BOOLEAN NOT NULL,
    revoked_at FLOAT,
    address VARCHAR(64) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (token_hash)
);
CREATE INDEX logins_by_identity ON logins (identity);
CREATE TABLE invitations (
    id VARCHAR(32) NOT NULL,
    scope VARCHAR(16) NOT NULL,
    created_at FLOAT NOT NULL,
    ends_at FLOAT NOT NULL,
    max_guests INTEGER NOT NULL,
    made_by VARCHAR(120) NOT NULL,
    revoked_at FLOAT,
    PRIMARY KEY (id)
);
CREATE TABLE users (
    name VARCHAR(32) NOT NULL,
    shown VARCHAR(60) NOT NULL,
    role VARCHAR(8) NOT NULL CONSTRAINT users_role CHECK (role IN ('operator', 'user', 'guest')),
    password VARCHAR(200) NOT NULL,
    created_at FLOAT NOT NULL,
    disabled BOOLEAN NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE thread_messages (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    thread INTEGER NOT NULL,
    id TEXT NOT NULL,
    turn FLOAT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at FLOAT NOT NULL,
    level TEXT DEFAULT 'full' NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    remembered BOOLEAN NOT NULL,
    extra TEXT,
    UNIQUE (thread, id),
    UNIQUE (thread, turn, role),
    FOREIGN KEY(thread) REFERENCES threads (number) ON DELETE CASCADE
);
CREATE VIRTUAL TABLE thread_words USING fts5(
        text, content='thread_messages', content_rowid='number',
        tokenize='unicode61 remove_diacritics 2', prefix='2 3');
CREATE TRIGGER thread_words_added AFTER INSERT ON thread_messages BEGIN
        INSERT INTO thread_words(rowid, text) VALUES (new.number, new.text); END;
CREATE TRIGGER thread_words_removed AFTER DELETE ON thread_messages BEGIN
        INSERT INTO thread_words(thread_words, rowid, text)
        VALUES ('delete', old.number, old.text); END;
CREATE TABLE thread_uploads (
    thread INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (thread, name),
    FOREIGN KEY(thread) REFERENCES threads (number) ON DELETE CASCADE
);
CREATE INDEX thread_uploads_by_name ON thread_uploads (name);
CREATE TABLE thread_removed (
    thread INTEGER NOT NULL,
    id TEXT NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (thread, id),
    FOREIGN KEY(thread) REFERENCES threads (number) ON DELETE CASCADE
);
CREATE TABLE thread_links (
    id VARCHAR(32) NOT NULL,
    token_hash VARCHAR(64) NOT NULL,
    thread INTEGER NOT NULL,
    message TEXT,
    name TEXT NOT NULL,
    page TEXT NOT NULL,
    created_at FLOAT NOT NULL,
    ends_at FLOAT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (token_hash),
    FOREIGN KEY(thread) REFERENCES threads (number) ON DELETE CASCADE
);
CREATE INDEX thread_links_by_thread ON thread_links (thread);
CREATE TABLE guests (
    id VARCHAR(32) NOT NULL,
    invitation VARCHAR(32) NOT NULL,
    number INTEGER NOT NULL,
    came_at FLOAT NOT NULL,
    ended_at FLOAT,
    PRIMARY KEY (id),
    FOREIGN KEY(invitation) REFERENCES invitations (id) ON DELETE CASCADE
);
CREATE INDEX guests_by_invitation ON guests (invitation);
CREATE TABLE thread_elements (
    message INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (message, kind),
    FOREIGN KEY(message) REFERENCES thread_messages (number) ON DELETE CASCADE
);
CREATE TABLE thread_feedback (
    message INTEGER NOT NULL,
    id TEXT NOT NULL,
    good BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (message),
    FOREIGN KEY(message) REFERENCES thread_messages (number) ON DELETE CASCADE,
    UNIQUE (id)
);
INSERT INTO schema_version VALUES (1, 1);
INSERT INTO users VALUES ('anna', 'Anna', 'operator', 'hash', 1, 0);
INSERT INTO threads (owner, id, name, created_at, used_at) VALUES ('user:anna', 't', 'Coffee', 1, 1);
INSERT INTO thread_messages (thread, id, turn, role, text, at, remembered)
    VALUES (1, 'm', 1, 'question', 'How often is it descaled?', 1, 1);
INSERT INTO unfinished (home, kind, owner, thread, name)
    VALUES ('', 'adoption', 'visitor:1', '', 'user:anna');
