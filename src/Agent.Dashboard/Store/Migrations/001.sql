-- Version 1, of release 0.1. Never edited: a new version follows.
CREATE TABLE server (
  id INTEGER PRIMARY KEY,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  hostname TEXT NOT NULL,
  description TEXT NOT NULL,
  is_active INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  token_sha256 BLOB NOT NULL,
  agent TEXT NOT NULL DEFAULT '',
  pruned_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE layout (
  id INTEGER PRIMARY KEY,
  content TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE sample (
  key INTEGER PRIMARY KEY,
  layout INTEGER NOT NULL,
  delay_ms INTEGER NOT NULL,
  bottleneck INTEGER NOT NULL,
  cpu_usage_percent ANY,
  cpu_user_percent ANY,
  cpu_system_percent ANY,
  cpu_iowait_percent ANY,
  cpu_steal_percent ANY,
  cpu_load_1 ANY,
  cpu_load_5 ANY,
  cpu_load_15 ANY,
  cpu_frequency_mhz ANY,
  cpu_temperature_c ANY,
  memory_percent ANY,
  swap_percent ANY,
  pressure_cpu_some_avg10 ANY,
  pressure_io_some_avg10 ANY,
  pressure_io_full_avg10 ANY,
  pressure_memory_some_avg10 ANY,
  pressure_memory_full_avg10 ANY,
  cpu_count_logical INTEGER,
  cpu_count_physical INTEGER,
  memory_total_bytes INTEGER,
  memory_used_bytes INTEGER,
  memory_available_bytes INTEGER,
  swap_total_bytes INTEGER,
  swap_used_bytes INTEGER,
  network_rx_bytes_total INTEGER,
  network_tx_bytes_total INTEGER,
  process_count INTEGER,
  pressure_cpu_some_total_us INTEGER,
  pressure_io_some_total_us INTEGER,
  pressure_io_full_total_us INTEGER,
  pressure_memory_some_total_us INTEGER,
  pressure_memory_full_total_us INTEGER,
  disks BLOB,
  gpus BLOB,
  fans BLOB
) STRICT;
CREATE TABLE minute (
  key INTEGER PRIMARY KEY,
  layout INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  figures BLOB NOT NULL
) STRICT;
CREATE TABLE dirty_minute (
  key INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
