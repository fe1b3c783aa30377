-- Version 5. Alerts that are pending, open or over, what was told of them, and when nothing is told. Instants count microseconds from 2000-01-01; -1 is none.
CREATE TABLE alert (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rule TEXT NOT NULL,
  server INTEGER NOT NULL,
  slug TEXT NOT NULL,
  subject TEXT NOT NULL,
  phase TEXT NOT NULL,
  is_waiting INTEGER NOT NULL,
  fired_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  content TEXT NOT NULL
) STRICT;
-- One open alert of each cause.
CREATE UNIQUE INDEX alert_of_cause ON alert (rule, server, subject) WHERE phase <> 'ended';
CREATE INDEX alert_waiting ON alert (id) WHERE phase <> 'ended' OR is_waiting;
CREATE INDEX alert_of_time ON alert (ended_at) WHERE phase = 'ended';
CREATE INDEX alert_of_slug ON alert (slug, ended_at) WHERE phase = 'ended';
CREATE TABLE alert_group (
  rule TEXT PRIMARY KEY,
  told_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_silence (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  content TEXT NOT NULL,
  author TEXT NOT NULL
) STRICT;
