-- Version 2. Each layout names the format that its rows were written in: the order of the figures in minutes and in the blobs of samples.
-- Layouts that no row uses are deleted, so that a number must never be given twice: hence AUTOINCREMENT.
CREATE TABLE format (
  id INTEGER PRIMARY KEY,
  content TEXT NOT NULL UNIQUE
) STRICT;
-- What version 1 wrote, without saying so.
INSERT INTO format (id, content) VALUES (1, '{"machine":[["cpu_usage_percent",100],["cpu_user_percent",100],["cpu_system_percent",100],["cpu_iowait_percent",100],["cpu_load_1",100],["cpu_load_5",100],["cpu_load_15",100],["cpu_temperature_c",10],["cpu_frequency_mhz",10],["memory_percent",100],["memory_used_bytes",1],["memory_available_bytes",1],["swap_percent",100],["swap_used_bytes",1],["network_rx_bytes_per_s",1],["network_tx_bytes_per_s",1],["disk_util_percent",100],["disk_read_bytes_per_s",1],["disk_write_bytes_per_s",1],["top_gpu_util_percent",100],["process_count",10],["fan_max_rpm",1],["pressure_cpu_some",100],["pressure_io_some",100],["pressure_io_full",100],["pressure_memory_some",100],["pressure_memory_full",100]],"disk":[["read_bytes_per_s",1],["write_bytes_per_s",1],["read_ops_per_s",10],["write_ops_per_s",10],["util_percent",100]],"gpu":[["utilization_gpu_percent",100],["utilization_memory_percent",100],["memory_percent",100],["memory_used_bytes",1],["temperature_c",10],["power_w",10],["power_limit_w",10],["fan_speed_percent",10]],"fan":[["speed_rpm",1]],"disk_sample":{"decimals":[],"wholes":["read_bytes_total","write_bytes_total","read_count_total","write_count_total","busy_time_ms_total"]},"gpu_sample":{"decimals":[["utilization_gpu_percent",10],["utilization_memory_percent",10],["memory_percent",10],["temperature_c",10],["fan_speed_percent",10],["power_w",100],["power_limit_w",100]],"wholes":["memory_total_bytes","memory_used_bytes","throttle_reasons"]},"fan_sample":{"decimals":[],"wholes":["speed_rpm"]}}');
CREATE TABLE layout_2 (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  content TEXT NOT NULL,
  format INTEGER NOT NULL,
  UNIQUE (content, format)
) STRICT;
INSERT INTO layout_2 (id, content, format) SELECT id, content, 1 FROM layout;
DROP TABLE layout;
ALTER TABLE layout_2 RENAME TO layout;
