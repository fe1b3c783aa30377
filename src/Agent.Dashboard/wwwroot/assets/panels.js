// The charts of the machine page, section by section: what each shows and from which figures.

import * as format from "./format.js";
import { lines } from "./lines.js";
import { strip, throttling } from "./lanes.js";

const paint = (index) => `--series-${index % 8}`;

/** A figure of the whole machine. */
const one = (record, key, name, index, more = {}) => ({ key, name, column: record.series[key], paint: paint(index), ...more });

/** The same figure of each GPU, disk or fan. */
const each = (devices, key, nameOf, more = () => ({})) =>
  devices.map((device, index) => ({ key: `${nameOf(device)} ${key}`, name: nameOf(device), column: device.series[key], paint: paint(index), figure: key, ...more(device) }));

const gpuName = (gpu) => `GPU ${gpu.gpu_index}`;
const gpuTitle = (gpu) => ({ title: gpu.name });
const gpus = (record, key) => each(record.gpus, key, gpuName, gpuTitle);
const present = (sources) => sources.filter((series) => series.column !== undefined);

const chart = (spec) => lines({ ...spec, sources: (record) => present(spec.sources(record)) });

/** A chart that only machines with GPUs have. */
const gpuChart = (id, title, key, more) => chart({ id, title, gpus: true, sources: (record) => gpus(record, key), ...more });

/** [section's title, its charts] */
export const panels = () => [
  [null, [strip()]],
  [
    "GPUs",
    [
      gpuChart("gpu-utilisation", "GPU utilisation", "utilization_gpu_percent", { percent: true, format: format.percent }),
      gpuChart("gpu-memory", "GPU memory", "memory_percent", { percent: true, format: format.percent }),
      chart({
        id: "gpu-power",
        title: "GPU power",
        gpus: true,
        least: 50,
        format: format.watts,
        sources: (record) => [...gpus(record, "power_w"), ...record.gpus.slice(0, 1).map((gpu) => ({ key: "limit", name: `limit of ${gpuName(gpu)}`, column: gpu.series.power_limit_w, paint: "--ink-faint", dashed: true }))],
      }),
      gpuChart("gpu-temperature", "GPU temperature", "temperature_c", { fit: true, format: format.celsius }),
      throttling(),
    ],
  ],
  [
    "CPU and pressure",
    [
      chart({
        id: "cpu",
        title: "CPU and I/O wait",
        percent: true,
        format: format.percent,
        sources: (record) => [
          one(record, "cpu_usage_percent", "used", 0),
          one(record, "cpu_iowait_percent", "I/O wait", 3),
          one(record, "cpu_steal_percent", "stolen", 4, { off: true }),
          one(record, "cpu_user_percent", "user", 1, { off: true }),
          one(record, "cpu_system_percent", "system", 2, { off: true }),
        ],
      }),
      chart({
        id: "pressure",
        title: "Pressure",
        note: "time in which tasks were stalled",
        least: 8,
        optional: true,
        format: format.percent,
        sources: (record) => [
          one(record, "pressure_cpu_some", "CPU", 0),
          one(record, "pressure_io_some", "I/O", 3),
          one(record, "pressure_io_full", "I/O, all tasks", 3, { dashed: true }),
          one(record, "pressure_memory_some", "memory", 5),
          one(record, "pressure_memory_full", "memory, all tasks", 5, { dashed: true }),
        ],
      }),
      chart({
        id: "load",
        title: "Load",
        least: 1,
        format: format.plain,
        sources: (record) => [one(record, "cpu_load_1", "1 min", 0), one(record, "cpu_load_5", "5 min", 1), one(record, "cpu_load_15", "15 min", 2)],
      }),
      chart({ id: "frequency", title: "CPU clock", optional: true, format: (mhz) => (mhz === null ? "–" : `${format.plain(mhz / 1000)} GHz`), sources: (record) => [one(record, "cpu_frequency_mhz", "mean", 0)] }),
    ],
  ],
  [
    "Memory",
    [
      chart({
        id: "memory",
        title: "Memory and swap",
        percent: true,
        format: format.percent,
        sources: (record) => [one(record, "memory_percent", "memory", 0), one(record, "swap_percent", "swap", 5)],
      }),
      chart({ id: "processes", title: "Processes", least: 10, format: format.whole, sources: (record) => [one(record, "process_count", "processes", 1)] }),
    ],
  ],
  [
    "Disks and network",
    [
      chart({
        id: "disk-throughput",
        title: "Disk throughput",
        least: 1e6,
        format: format.rate,
        sources: (record) => [
          ...each(record.disks, "read_bytes_per_s", (disk) => `${disk.device} read`),
          ...each(record.disks, "write_bytes_per_s", (disk) => `${disk.device} write`, () => ({ dashed: true })),
        ],
      }),
      chart({ id: "disk-utilisation", title: "Disk utilisation", percent: true, format: format.percent, sources: (record) => each(record.disks, "util_percent", (disk) => disk.device) }),
      chart({
        id: "disk-operations",
        title: "Disk operations",
        note: "per second",
        least: 10,
        format: format.whole,
        sources: (record) => [
          ...each(record.disks, "read_ops_per_s", (disk) => `${disk.device} reads`),
          ...each(record.disks, "write_ops_per_s", (disk) => `${disk.device} writes`, () => ({ dashed: true })),
        ],
      }),
      chart({
        id: "network",
        title: "Network",
        least: 1e5,
        format: format.rate,
        sources: (record) => [one(record, "network_rx_bytes_per_s", "received", 1), one(record, "network_tx_bytes_per_s", "sent", 2)],
      }),
      chart({
        id: "tcp-retransmits",
        title: "TCP retransmits",
        note: "segments per second",
        least: 10,
        optional: true,
        format: format.whole,
        sources: (record) => [one(record, "tcp_retransmits_per_s", "retransmitted", 3)],
      }),
      chart({
        id: "tcp-sent",
        title: "TCP segments sent",
        note: "per second",
        least: 10,
        optional: true,
        format: format.whole,
        sources: (record) => [one(record, "tcp_segments_sent_per_s", "sent", 2)],
      }),
    ],
  ],
  [
    "Cooling",
    [
      chart({ id: "fans", title: "Fans", optional: true, format: format.rpm, sources: (record) => each(record.fans, "speed_rpm", (fan) => fan.label) }),
      gpuChart("gpu-fans", "GPU fans", "fan_speed_percent", { percent: true, optional: true, format: format.percent }),
      chart({ id: "cpu-temperature", title: "CPU temperature", fit: true, optional: true, format: format.celsius, sources: (record) => [one(record, "cpu_temperature_c", "hottest sensor", 2)] }),
    ],
  ],
];
