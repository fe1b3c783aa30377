-- Version 4. What holds machines and their jobs back, and what jobs use. Samples that came before have no verdict.
ALTER TABLE sample ADD COLUMN verdict INTEGER;
ALTER TABLE sample ADD COLUMN jobs BLOB;
ALTER TABLE minute ADD COLUMN verdicts BLOB;
ALTER TABLE minute ADD COLUMN jobs BLOB;
-- What was said, by the key of the sample that it was said with: each change of a label, and the figures of its sentence once a minute.
CREATE TABLE judgement (
  key INTEGER PRIMARY KEY,
  label INTEGER NOT NULL,
  reason TEXT NOT NULL,
  content TEXT NOT NULL
) STRICT;
CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  server INTEGER NOT NULL,
  name_of_agent TEXT NOT NULL,
  owner_kind TEXT NOT NULL,
  owner_value TEXT NOT NULL,
  owner_namespace TEXT NOT NULL,
  owner_name TEXT NOT NULL,
  user TEXT NOT NULL,
  uid INTEGER NOT NULL,
  name TEXT NOT NULL,
  command TEXT NOT NULL,
  cohort TEXT NOT NULL,
  gpus TEXT NOT NULL,
  began INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  is_over INTEGER NOT NULL,
  label INTEGER NOT NULL,
  gpu_busy_percent REAL,
  cpu_cores_used REAL,
  memory_bytes INTEGER
) STRICT;
CREATE INDEX job_of_server ON job (server, last_seen);
CREATE INDEX job_of_cohort ON job (cohort, began) WHERE cohort <> '';
CREATE INDEX job_of_name ON job (name, user, began);
-- The hour counts from 2000-01-01. The sum over the minutes that are rolled up.
CREATE TABLE job_hour (
  job INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  label INTEGER NOT NULL,
  gpu_ms INTEGER NOT NULL,
  wasted_ms INTEGER NOT NULL,
  PRIMARY KEY (job, hour, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_hour_of_hour ON job_hour (hour, job);
-- What happened: observed from one sample to the next, or written down by somebody. Server 0 is all of them.
CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  server INTEGER NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  author TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX event_of_server ON event (server, at);
CREATE INDEX event_of_time ON event (at);
