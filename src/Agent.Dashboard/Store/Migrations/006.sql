-- Version 6. Messages of alerts that wait to be delivered, those of a channel in the order of their ids, and what became of earlier ones.
-- Instants count microseconds from 2000-01-01. The id that a receiver sees is random: ids of rows begin anew when a backup is restored.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  added INTEGER NOT NULL,
  notices TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt INTEGER NOT NULL,
  last_error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_of_channel ON outbox (channel, id);
CREATE INDEX outbox_of_time ON outbox (added);
CREATE TABLE outbox_channel (
  channel TEXT PRIMARY KEY,
  delivered INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0,
  last_at INTEGER NOT NULL DEFAULT 0,
  last_good INTEGER NOT NULL DEFAULT 0,
  last_result TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
