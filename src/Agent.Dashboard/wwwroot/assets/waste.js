// What GPU-hours were wasted: by user, job, label or day; and which GPUs are held just now and do nothing.

import { byId, h, write } from "./dom.js";
import * as api from "./api.js";
import { clear, footer, notice, themeButton } from "./chrome.js";
import * as format from "./format.js";
import { gpuList, rowOf, spentSentence } from "./jobtable.js";
import { nameOf } from "./labels.js";
import { PERIODS, selection } from "./periods.js";
import { SortedTable, fillLink } from "./table.js";

const KINDS = [
  ["user", "user"],
  ["job", "job"],
  ["label", "label of the machine"],
  ["day", "day"],
];
const asked = new URLSearchParams(location.search);
const by = selection("By", asked.get("by") ?? "user", changed, KINDS);
const period = selection("Time", asked.get("minutes") ?? "10080", changed, PERIODS);
const file = h("a", { class: "button", download: "" }, "Save as CSV");
const summary = h("p", { role: "status" });
const place = h("div", { class: "part" });
const heldPlace = h("div");
let asking = null;

const number = (key, title, of, write) => ({ key, title, number: true, sort: of, cell: (row) => write(of(row)) });

/** The verdict, other than work, that cost a row most. */
function worst(row) {
  const [first] = Object.entries(row.verdict_gpu_hours ?? {}).filter(([label]) => !["compute", "starting", "idle"].includes(label)).sort((one, other) => other[1] - one[1]);
  return first && first[1] > 0 ? `${nameOf(first[0])}, ${format.hours(first[1])}` : "–";
}

const COLUMNS = [
  { key: "key", title: "", head: true, sort: (row) => row.key, cell: (row) => row.key ?? "unknown" },
  number("gpu_hours", "GPU-hours", (row) => row.gpu_hours, format.hours),
  number("wasted_gpu_hours", "Wasted", (row) => row.wasted_gpu_hours, format.hours),
  number("share", "Wasted share", (row) => (row.gpu_hours > 0 ? (row.wasted_gpu_hours / row.gpu_hours) * 100 : null), format.percent),
  { key: "worst", title: "Mostly", sort: worst, cell: worst },
  number("jobs", "Jobs", (row) => row.jobs, format.whole),
];

function report(said) {
  const title = KINDS.find(([key]) => key === by.value)[1];
  const columns = COLUMNS.map((column) => (column.key === "key" ? { ...column, title: title.charAt(0).toUpperCase() + title.slice(1) } : column));
  const table = new SortedTable({ caption: `Wasted GPU-hours by ${title}`, columns, keyOf: (row) => row.key ?? "", onOrder: () => table.show(said.rows) });
  table.show(said.rows);
  place.replaceChildren(said.rows.length === 0 ? h("p", { class: "nothing" }, "No job used a GPU in this time.") : table.element);
  const { total } = said;
  const spent = spentSentence(total.verdict_gpu_hours ?? {}, total.gpu_hours);
  write(summary, `${format.hours(total.wasted_gpu_hours)} of ${format.hours(total.gpu_hours)} GPU-hours were wasted.${spent === "" ? "" : ` ${spent}`}`);
}

/** GPUs that are held and do nothing, those that are held longest first. An older answer has none: then the running jobs tell. */
async function held(said, signal) {
  if (said.held_idle) return said.held_idle.map((one) => ({ ...one, seconds: (Date.now() - Date.parse(one.since)) / 1000 }));
  const jobs = (await api.jobs({ minutes: 20160, active: true }, signal))?.jobs ?? [];
  return jobs
    .filter((job) => job.label === "held-idle" && !job.ended)
    .map((job) => {
      const row = rowOf(job);
      const idle = row.gpus.length > 0 ? ((row.shares["held-idle"] ?? 0) / row.gpus.length) * 3600 : null;
      return { server: row.server, id: row.id, user: row.user, name: row.name, gpus: row.gpus, memory_bytes: null, seconds: idle };
    });
}

function showHeld(rows) {
  const columns = [
    { key: "server", title: "Machine", head: true, sort: (row) => row.server, fill: (cell, row) => fillLink(cell, row.server, `/servers/${encodeURIComponent(row.server)}`) },
    { key: "gpus", title: "GPUs", sort: (row) => row.gpus.length, cell: (row) => gpuList(row.gpus) },
    { key: "user", title: "User", sort: (row) => row.user, cell: (row) => row.user || "–" },
    { key: "name", title: "Job", sort: (row) => row.name, cell: (row) => row.name || row.id },
    number("seconds", "Idle for", (row) => row.seconds, format.span),
    number("memory", "GPU memory held", (row) => row.memory_bytes, format.bytes),
    number("lost", "GPU-hours", (row) => (row.seconds === null ? null : (row.seconds / 3600) * row.gpus.length), format.hours),
  ];
  const table = new SortedTable({ caption: "GPUs that are held and do nothing now", columns, keyOf: (row) => `${row.server} ${row.id}`, order: "-seconds", onOrder: () => table.show(rows) });
  table.show(rows);
  heldPlace.replaceChildren(rows.length === 0 ? h("p", { class: "hint" }, "No GPU is held without being used right now.") : table.element);
}

async function read() {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const said = await api.waste(by.value, Number(period.value), mine.signal);
    if (mine.signal.aborted) return;
    clear("api");
    if (said === null) {
      byId("content").replaceChildren(h("div", { class: "nothing" }, h("h1", {}, "Waste"), h("p", {}, "This dashboard keeps no jobs: it is older than this page.")));
      return;
    }
    report(said);
    showHeld(await held(said, mine.signal));
    document.body.classList.add("loaded");
  } catch (error) {
    if (mine.signal.aborted) return;
    notice("api", error, read);
  }
}

function changed() {
  const kept = Object.entries({ by: by.value === "user" ? "" : by.value, minutes: period.value === "10080" ? "" : period.value }).filter(([, value]) => value !== "");
  history.replaceState(null, "", kept.length === 0 ? "/waste" : `/waste?${new URLSearchParams(kept)}`);
  begin();
}

function begin() {
  file.setAttribute("href", api.wasteCsv(by.value, Number(period.value)));
  return read();
}

document.title = "Waste · ai-dashboard";
byId("tools").append(themeButton());
byId("content").append(
  h("div", { class: "fleet-head" }, h("div", {}, h("h1", {}, "Waste"), summary)),
  h("div", { class: "choices", role: "group", "aria-label": "Report" }, by.element, period.element, h("span", { class: "spring" }), file),
  place,
  h("section", { class: "part" }, h("h2", {}, "Held and unused"), heldPlace),
);
await begin();
footer();
