-- Version 3. Keys with which machines register themselves, and what those machines said of themselves. A server that was registered by hand has
-- no key.
CREATE TABLE enrol_key (
  name TEXT PRIMARY KEY,
  key_sha256 BLOB NOT NULL UNIQUE,
  labels TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
ALTER TABLE server ADD COLUMN enrol_key TEXT NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN enrol_machine_id TEXT NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN enrol_hostname TEXT NOT NULL DEFAULT '';
