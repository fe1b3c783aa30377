// The charts of what is kept beside the main ones, a section for each kind of device.

import * as format from "./format.js";
import { strip } from "./heat.js";
import { lines } from "./lines.js";

const paint = (index) => `--series-${index % 8}`;

/** A figure of each device, where `named` says what its line is called. */
const each = (record, key, named, more = {}) =>
  record.devices.map((device, index) => ({ key: `${device.name} ${key}`, name: named(device.name), column: device.series[key], paint: paint(index), figure: key, ...more }));

/** A chart of some figures of each device: [key, what follows its name, dashed]. */
const chart = (nameOf, id, title, figures, more) =>
  lines({
    id,
    title,
    optional: true,
    sources: (record) =>
      figures
        .flatMap(([key, word, dashed]) => each(record, key, (name) => `${nameOf(name)}${word ? ` ${word}` : ""}`, { dashed: dashed === true }))
        .filter(({ column }) => column !== undefined),
    ...more,
  });

const gigahertz = (mhz) => (mhz === null ? "–" : `${format.plain(mhz / 1000)} GHz`);

const gpu = (id, title, figures, more) => chart((name) => `GPU ${name}`, `gpu-${id}`, title, figures, more);
const device = (id, title, figures, more) => chart((name) => name, id, title, figures, more);
const both = (what) => [[`rx_${what}`, "received"], [`tx_${what}`, "sent", true]];

/** [the kind's name, the section's title, its charts] */
export const detailPanels = () => [
  [
    "gpus",
    "GPU details",
    [
      gpu("clock", "GPU clock", [["clock_sm_mhz", ""]], { format: gigahertz }),
      gpu("memory-clock", "GPU memory clock", [["clock_memory_mhz", ""]], { format: gigahertz }),
      gpu("memory-temperature", "GPU memory temperature", [["memory_temperature_c", ""]], { fit: true, format: format.celsius }),
      gpu("energy", "GPU power from energy", [["energy_w", ""]], { note: "the mean between samples", least: 50, format: format.watts }),
      gpu("pcie", "PCIe", both("bytes_per_s").map(([key, ...rest]) => [`pcie_${key}`, ...rest]), { least: 1e6, format: format.rate }),
      gpu("pcie-link", "PCIe link", [["pcie_link_gen", "generation"], ["pcie_link_width", "lanes", true]], { least: 4, format: format.whole }),
      gpu("nvlink", "NVLink", both("bytes_per_s").map(([key, ...rest]) => [`nvlink_${key}`, ...rest]), { least: 1e6, format: format.rate }),
      gpu("video", "Video encoder and decoder", [["encoder_percent", "encoder"], ["decoder_percent", "decoder", true]], { optional: "zero", percent: true, format: format.percent }),
      gpu("ecc", "Memory errors", [["ecc_corrected_total", "corrected"], ["ecc_uncorrected_total", "not corrected", true]], { note: "over the life of the board", optional: "zero", least: 4, format: format.whole }),
      gpu("remapped", "Memory rows to be replaced at the next reset", [["remapped_rows_pending", ""]], { optional: "zero", least: 1, format: format.whole }),
    ],
  ],
  ["mig_devices", "MIG instances", [device("mig-memory", "Memory in use", [["memory_used_bytes", ""]], { least: 1e9, format: format.bytes }), device("mig-xids", "XIDs", [["xid_count", ""]], { optional: "zero", least: 4, format: format.whole })]],
  ["cpu_cores", "CPUs", [strip({ id: "cores", title: "Use of each CPU", scale: { min: 0, max: 100 }, format: format.percent, sources: (record) => each(record, "usage_percent", (name) => `CPU ${name}`) })]],
  [
    "network_interfaces",
    "Network interfaces",
    [
      device("interfaces", "Throughput", both("bytes_per_s"), { least: 1e5, format: format.rate }),
      device("packets", "Packets", both("packets_per_s"), { note: "per second", least: 100, format: format.whole }),
      device(
        "interface-faults",
        "Errors and drops",
        [["rx_errors_per_s", "errors received"], ["tx_errors_per_s", "errors sent"], ["rx_dropped_per_s", "dropped received", true], ["tx_dropped_per_s", "dropped sent", true]],
        { note: "per second", optional: "zero", least: 1, format: format.plain },
      ),
    ],
  ],
  ["infiniband", "InfiniBand", [device("infiniband", "Throughput", both("bytes_per_s"), { least: 1e5, format: format.rate })]],
  ["partitions", "File systems over time", [device("partitions", "Space in use", [["percent", ""]], { percent: true, format: format.percent })]],
];
