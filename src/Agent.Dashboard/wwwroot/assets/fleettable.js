// The fleet as a table: the columns that a viewer chooses, sorted by any of them.

import { h } from "./dom.js";
import * as format from "./format.js";
import { rankOf } from "./labels.js";
import { menu } from "./menu.js";
import { ofLast, traffic } from "./rates.js";
import { SortedTable, fillLink, fillPill } from "./table.js";

const latest = (one) => ofLast(one.server.latest) ?? {};
const labels = (one) => Object.entries(one.server.agent?.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(" ");
const people = (one) => [...new Set((one.server.jobs ?? []).map((job) => job.user ?? "").filter(Boolean))].join(", ");
const jobs = (one) => (one.server.jobs ?? []).map((job) => job.name).join(", ");
const nameOf = (one) => one.server.name || one.server.slug;
const gpuNames = (one) => format.counted((one.server.gpus ?? []).map((gpu) => gpu.name).filter(Boolean));
const text = (key, title, of, more) => ({ key, title, sort: (one) => of(one) || null, cell: of, ...more });
const number = (key, title, of, write, more) => ({ key, title, number: true, sort: of, cell: (one) => write(of(one)), ...more });
const figure = (key, title, name, write) => number(key, title, (one) => latest(one)[name] ?? null, write);

/** All columns; those with `extra` are not shown at first. */
const COLUMNS = [
  { key: "name", title: "Machine", head: true, sort: nameOf, fill: (cell, one) => fillLink(cell, nameOf(one), `/servers/${encodeURIComponent(one.server.slug)}`) },
  { key: "verdict", title: "Verdict", sort: (one) => rankOf(one.judged), fill: (cell, one) => fillPill(cell, one.judged.label) },
  number("since", "For", (one) => (one.judged.since ? (Date.now() - Date.parse(one.judged.since)) / 1000 : null), format.span, { extra: true }),
  text("reason", "Reason", (one) => one.judged.reason ?? "", { extra: true, wide: "wrap" }),
  text("fix", "Fix", (one) => one.judged.fix ?? "", { extra: true, wide: "wrap" }),
  text("users", "Users", people),
  text("jobs", "Jobs", jobs, { extra: true, wide: "wrap" }),
  text("gpus", "GPUs", (one) => gpuNames(one) || (latest(one).gpu_count ? `${latest(one).gpu_count}` : "")),
  figure("gpu", "GPU", "top_gpu_util_percent", format.percent),
  figure("gpu_memory", "GPU memory", "top_gpu_memory_percent", format.percent),
  figure("cpu", "CPU", "cpu_usage_percent", format.percent),
  figure("memory", "Memory", "memory_percent", format.percent),
  figure("disk", "Disk", "disk_util_percent", format.percent),
  number("network", "Network", (one) => traffic(latest(one)) ?? null, format.rate),
  text("labels", "Labels", labels, { extra: true, wide: "wrap" }),
  text("host", "Host", (one) => one.server.hostname || one.server.agent?.hostname || "", { extra: true }),
  number("seen", "Last sample", (one) => one.server.age_seconds, format.ago),
];

const KEY = "fleet-columns";

function stored() {
  try {
    const names = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return Array.isArray(names) ? new Set(["name", ...names]) : null;
  } catch {
    return null;
  }
}

/** The table, and the menu of its columns. `onOrder` is called when it is to be sorted anew. */
export function fleetTable(order, onOrder) {
  const shown = stored() ?? new Set(COLUMNS.filter((column) => !column.extra).map(({ key }) => key));
  const table = new SortedTable({ caption: "Machines", columns: COLUMNS, keyOf: (one) => one.server.slug, order, shown, onOrder });
  const boxes = COLUMNS.slice(1).map(({ key, title }) => {
    const box = h("input", { type: "checkbox", checked: shown.has(key) });
    box.addEventListener("change", () => {
      if (box.checked) shown.add(key);
      else shown.delete(key);
      table.choose(shown);
      try {
        localStorage.setItem(KEY, JSON.stringify([...shown]));
      } catch {
        // Without storage the choice lasts as long as the page.
      }
    });
    return h("label", {}, box, title);
  });
  const { element: columns } = menu({ attributes: { class: "button" }, shows: "Columns", list: h("div", { class: "menu-list" }, boxes) });
  return { table, columns };
}
