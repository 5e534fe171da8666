-- Purpose. Sessions of owners: which owners hold an advisory lock that goes when their connections go.
-- Code of before runs on it: its owners hold no lock, and are dead when their row has expired, as before.

-- server: the start of the server on which the lock was taken. A lock that is free says that its owner is gone only if
-- this is the server of now. Not logged: a crash of the server ends every session and empties the table with them.
create unlogged table continuum_sessions (
    owner text primary key,
    server timestamptz not null
);
