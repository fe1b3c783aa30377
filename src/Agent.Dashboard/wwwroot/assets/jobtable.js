// Jobs in tables: the same columns wherever jobs are listed, live ones and past ones.

import { h } from "./dom.js";
import * as format from "./format.js";
import { pill, rankOf, setPill, severityOf } from "./labels.js";
import { SortedTable, fillLink, fillPill } from "./table.js";

/** A job of /api/jobs/ as a row. */
export const rowOf = (job) => ({
  key: job.job,
  id: job.id,
  href: `/jobs/${encodeURIComponent(job.job)}`,
  server: job.server,
  user: job.user ?? (job.uid === null || job.uid === undefined ? "" : `user ${job.uid}`),
  name: job.name || job.id,
  command: job.command ?? "",
  gpus: (job.gpus ?? []).map((gpu) => gpu.gpu_index),
  label: job.label,
  began: Date.parse(job.began),
  ended: job.ended ? Date.parse(job.ended) : null,
  hours: job.gpu_hours,
  wasted: job.wasted_gpu_hours,
  busy: job.gpu_busy_percent,
  cores: job.cpu_cores_used,
  memory: job.memory_bytes,
  shares: job.verdict_gpu_hours ?? {},
});

/** A job of a sample as a row, where the dashboard keeps no jobs: without hours. */
export const rowOfLive = (server) => (job) => ({
  ...rowOf({ ...job, job: job.id, server, label: job.verdict?.label ?? job.label ?? "unknown", began: job.started_at, ended: null, gpu_hours: null, wasted_gpu_hours: null }),
  href: null,
});

/** "0–3, 6" of the indices of GPUs. */
export function gpuList(indices) {
  const sorted = [...indices].sort((a, b) => a - b);
  const runs = [];
  for (const index of sorted) {
    const last = runs.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else runs.push([index, index]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

const lasted = (row) => (Number.isFinite(row.began) ? ((row.ended ?? Date.now()) - row.began) / 1000 : null);
const figure = (key, title, of, write) => ({ key, title, number: true, sort: of, cell: (row) => write(of(row)) });

const COLUMNS = {
  user: { key: "user", title: "User", sort: (row) => row.user || null, cell: (row) => row.user || "–" },
  job: {
    key: "job",
    title: "Job",
    head: true,
    sort: (row) => row.name,
    fill(cell, row) {
      if (row.href !== null) fillLink(cell, row.name, row.href, row.command);
      else cell.replaceChildren(h("b", {}, row.name), h("span", {}, row.command));
    },
  },
  server: { key: "server", title: "Machine", sort: (row) => row.server, fill: (cell, row) => fillLink(cell, row.server, `/servers/${encodeURIComponent(row.server)}`) },
  gpus: { key: "gpus", title: "GPUs", sort: (row) => row.gpus.length, cell: (row) => gpuList(row.gpus) || "–" },
  verdict: { key: "verdict", title: "Verdict", sort: (row) => rankOf({ label: row.label, severity: severityOf(row.label) }), fill: (cell, row) => fillPill(cell, row.label) },
  began: { key: "began", title: "Began", sort: (row) => row.began, cell: (row) => (Number.isFinite(row.began) ? format.instant(row.began) : "–") },
  ended: { key: "ended", title: "Ended", sort: (row) => row.ended ?? Infinity, cell: (row) => (row.ended === null ? "runs" : format.instant(row.ended)) },
  lasted: figure("lasted", "Time", lasted, format.span),
  hours: figure("hours", "GPU-hours", (row) => row.hours, format.hours),
  wasted: figure("wasted", "Wasted", (row) => row.wasted, format.hours),
  busy: figure("busy", "GPU busy", (row) => row.busy, format.percent),
  cores: figure("cores", "CPU cores", (row) => row.cores, format.plain),
  memory: figure("memory", "Memory", (row) => row.memory, format.bytes),
};

/** The verdict as a button that opens the reasons behind it: `why(row, opener)`. */
const withWhy = (why) => ({
  ...COLUMNS.verdict,
  fill(cell, row) {
    cell.row = row;
    if (cell.firstElementChild) setPill(cell.firstElementChild, row.label);
    else cell.append(pill(row.label, "button", { type: "button", "aria-haspopup": "dialog", onclick: (event) => why(cell.row, event.currentTarget) }));
  },
});

/** A table of jobs with these columns; with `why` their verdicts open the reasons. */
export const jobTable = (caption, names, { order = "", onOrder, why = null } = {}) => {
  const columnOf = (name) => (name === "verdict" && why !== null ? withWhy(why) : COLUMNS[name]);
  const table = new SortedTable({ caption, columns: names.map(columnOf), keyOf: (row) => row.key, order, onOrder: onOrder ?? (() => table.show(shown)) });
  let shown = [];
  return {
    get element() {
      return table.element;
    },
    get order() {
      return table.order;
    },
    show(rows) {
      shown = rows;
      table.show(rows);
    },
  };
};

/** What became of GPU-hours that a label took. */
export const SPENT = {
  compute: "computed",
  throttled: "ran on slowed GPUs",
  "loader-cpu": "waited for the data loader",
  "main-thread": "waited for one thread",
  "cpu-contended": "waited for a CPU",
  "cpu-quota": "waited at the CPU limit",
  "disk-read": "waited for disk reads",
  "disk-write": "waited for disk writes",
  "network-storage": "waited for network storage",
  network: "waited for the network",
  memory: "waited for memory",
  communication: "waited for other GPUs",
  imbalance: "waited for a GPU that was behind",
  hang: "hung",
  "held-idle": "were held unused",
  "gpu-fault": "had a GPU fault",
  idle: "were idle",
  starting: "started up",
  unknown: "waited for a reason that nothing measured explains",
};
const WELL_SPENT = new Set(["compute", "starting", "idle"]);

/** "41 of 96 GPU-hours waited for disk reads, 12 were held unused": what cost most first, at most three parts. */
export function spentSentence(shares, hours) {
  if (!(hours > 0)) return "";
  const told = Object.entries(shares).filter(([label, spent]) => spent / hours >= 0.005 && label in SPENT);
  const parts = [...told.filter(([label]) => !WELL_SPENT.has(label)), ...told.filter(([label]) => WELL_SPENT.has(label))]
    .sort((one, other) => WELL_SPENT.has(one[0]) - WELL_SPENT.has(other[0]) || other[1] - one[1])
    .slice(0, 3)
    .map(([label, spent], place) => `${format.hours(spent)}${place === 0 ? ` of ${format.hours(hours)} GPU-hours` : ""} ${SPENT[label]}`);
  return parts.length === 0 ? "" : `${parts.join(", ")}.`;
}
