-- Version 1 of the state in PostgreSQL, of release 0.2. Never edited: a new version follows. The tables are those of SQLite that hold state, so that
-- the same statements work on both; whole numbers are bigint, and instants count microseconds from 2000-01-01.
CREATE TABLE server (
  id bigint PRIMARY KEY,
  slug text NOT NULL UNIQUE,
  name text NOT NULL,
  hostname text NOT NULL,
  description text NOT NULL,
  is_active bigint NOT NULL,
  created_at bigint NOT NULL,
  token_sha256 bytea NOT NULL,
  agent text NOT NULL DEFAULT '',
  enrol_key text NOT NULL DEFAULT '',
  enrol_machine_id text NOT NULL DEFAULT '',
  enrol_hostname text NOT NULL DEFAULT ''
);
CREATE TABLE enrol_key (
  name text PRIMARY KEY,
  key_sha256 bytea NOT NULL UNIQUE,
  labels text NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint
);
CREATE TABLE setting (
  name text PRIMARY KEY,
  value text NOT NULL
);
-- By which a dashboard knows that what it has of the state is of this one.
INSERT INTO setting (name, value) VALUES ('state-id', gen_random_uuid()::text);
-- Ids are given by the dashboard; the highest ever given is kept, since rows are deleted.
CREATE TABLE alert (
  id bigint PRIMARY KEY,
  rule text NOT NULL,
  server bigint NOT NULL,
  slug text NOT NULL,
  subject text NOT NULL,
  phase text NOT NULL,
  is_waiting boolean NOT NULL,
  fired_at bigint NOT NULL,
  ended_at bigint NOT NULL,
  content text NOT NULL
);
CREATE UNIQUE INDEX alert_of_cause ON alert (rule, server, subject) WHERE phase <> 'ended';
CREATE INDEX alert_waiting ON alert (id) WHERE phase <> 'ended' OR is_waiting;
CREATE INDEX alert_of_time ON alert (ended_at) WHERE phase = 'ended';
CREATE INDEX alert_of_slug ON alert (slug, ended_at) WHERE phase = 'ended';
CREATE TABLE alert_number (
  highest bigint NOT NULL
);
INSERT INTO alert_number (highest) VALUES (0);
CREATE TABLE alert_group (
  rule text PRIMARY KEY,
  told_at bigint NOT NULL
);
CREATE TABLE alert_silence (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  content text NOT NULL,
  author text NOT NULL
);
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id text NOT NULL,
  channel text NOT NULL,
  added bigint NOT NULL,
  notices text NOT NULL,
  attempts bigint NOT NULL DEFAULT 0,
  next_attempt bigint NOT NULL,
  last_error text NOT NULL DEFAULT ''
);
CREATE INDEX outbox_of_channel ON outbox (channel, id);
CREATE INDEX outbox_of_time ON outbox (added);
CREATE TABLE outbox_channel (
  channel text PRIMARY KEY,
  delivered bigint NOT NULL DEFAULT 0,
  refused bigint NOT NULL DEFAULT 0,
  dropped bigint NOT NULL DEFAULT 0,
  last_at bigint NOT NULL DEFAULT 0,
  last_good bigint NOT NULL DEFAULT 0,
  last_result text NOT NULL DEFAULT ''
);
-- What people wrote down, and which alerts began and ended. Server 0 is all of them.
CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  server bigint NOT NULL,
  at bigint NOT NULL,
  kind text NOT NULL,
  text text NOT NULL,
  author text NOT NULL DEFAULT ''
);
CREATE INDEX event_of_time ON event (at);
-- Log-ins that last, by the hash of their tokens; their ends in seconds from 1970.
CREATE TABLE session (
  key text PRIMARY KEY,
  ends bigint NOT NULL,
  stamp text NOT NULL,
  name text NOT NULL
);
-- A transaction that changes something of these begins by locking its row and ends by counting it up: so they come one after the other, and
-- other dashboards see that there is something to read.
CREATE TABLE revision (
  name text PRIMARY KEY,
  version bigint NOT NULL
);
INSERT INTO revision (name, version) VALUES ('alerts', 0), ('registrations', 0), ('sessions', 0);
-- Which dashboard evaluates the rules and delivers messages. The number rises with each change of the holder.
CREATE TABLE lease (
  name text PRIMARY KEY,
  holder text NOT NULL,
  address text NOT NULL,
  token bigint NOT NULL,
  ends timestamp with time zone NOT NULL
);
INSERT INTO lease (name, holder, address, token, ends) VALUES ('alerts', '', '', 0, clock_timestamp());
