// One job over its whole life: what became of its GPU-hours, its figures over time, its parts on other machines, and the run before it.

import { byId, h } from "./dom.js";
import * as api from "./api.js";
import { TimeChart, loadLibrary } from "./chart.js";
import { clear, footer, notice, themeButton } from "./chrome.js";
import * as format from "./format.js";
import { jobRecord, stragglers } from "./jobrecord.js";
import { gpuList, jobTable, rowOf, spentSentence } from "./jobtable.js";
import { nameOf, pill } from "./labels.js";
import { strip } from "./lanes.js";
import { lines } from "./lines.js";
import { toolbar } from "./toolbar.js";
import { Cursor, View } from "./view.js";

const MINUTE = 60000;
const key = decodeURIComponent(location.pathname.split("/")[2] ?? "");

const one = (record, name, title, index) => (record.series[name] ? [{ key: name, name: title, column: record.series[name], paint: `--series-${index}` }] : []);

/** What is drawn of a job. */
const charts = () => [
  lines({ id: "job-gpu", title: "GPUs busy", percent: true, format: format.percent, sources: (record) => one(record, "gpu_busy_percent", "busy", 1) }),
  lines({ id: "job-wasted", title: "GPUs wasted", note: "how many of its GPUs did nothing, on average", least: 1, format: format.plain, sources: (record) => one(record, "wasted", "wasted", 5) }),
  lines({ id: "job-cpu", title: "CPU cores", least: 1, format: format.plain, sources: (record) => one(record, "cpu_cores_used", "in use", 0) }),
  lines({ id: "job-memory", title: "Memory", least: 2 ** 20, format: format.bytes, sources: (record) => one(record, "memory_bytes", "in use", 3) }),
  lines({ id: "job-io", title: "Reads and writes", least: 1e6, format: format.rate, sources: (record) => [...one(record, "read_bytes_per_s", "read", 7), ...one(record, "write_bytes_per_s", "written", 2)] }),
];

const fact = (name, value) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value));

function headOf(job, row) {
  const spent = spentSentence(row.shares, row.hours);
  const owner = job.owner && job.owner.kind !== "session" ? `${job.owner.kind} ${[job.owner.namespace, job.owner.name ?? job.owner.value].filter(Boolean).join("/")}` : null;
  return h(
    "header",
    { class: "machine-head" },
    h("nav", { "aria-label": "Breadcrumb" }, h("a", { href: "/jobs" }, "Jobs"), h("span", { "aria-hidden": "true" }, "/"), h("span", { "aria-current": "page" }, row.name)),
    h(
      "div",
      { class: "head-row" },
      h("div", {}, h("h1", {}, row.name), h("p", { class: "machine-what" }, row.command)),
      h("div", { class: "head-state" }, h("div", {}, pill(row.label), h("time", {}, row.ended === null ? "runs" : `ended ${format.instant(row.ended)}`)), h("p", { class: "head-reason" }, spent)),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("User", row.user),
      fact("Machine", h("a", { href: `/servers/${encodeURIComponent(row.server)}?from=${Math.floor(row.began)}&to=${Math.ceil(row.ended ?? Date.now())}` }, row.server)),
      fact("GPUs", gpuList(row.gpus)),
      fact("Began", format.instant(row.began)),
      fact("Time", format.span(((row.ended ?? Date.now()) - row.began) / 1000)),
      fact("GPU-hours", `${format.hours(row.hours)}, of them wasted ${format.hours(row.wasted)}`),
      fact("Belongs to", owner),
    ),
  );
}

/** The parts of the job on all machines, with those marked that the others wait for. */
function partsOf(row, parts) {
  if (parts.length === 0) return null;
  const rows = [row, ...parts.map(rowOf)];
  const behind = stragglers(rows);
  const table = jobTable("Parts of this job", ["server", "job", "gpus", "verdict", "lasted", "hours", "wasted", "busy", "cores", "memory"]);
  table.show(rows);
  for (const line of table.element.querySelectorAll("tbody tr")) line.classList.toggle("behind", behind.has(line.dataset.key));
  const names = rows.filter((part) => behind.has(part.key)).map((part) => part.server);
  const all = rows.reduce((sum, part) => sum + (part.hours ?? 0), 0);
  const said = names.length === 0 ? "No part is behind the others." : `Behind the others: ${names.join(", ")}.`;
  const machines = [...new Set(rows.map((part) => part.server))];
  const window = `?from=${Math.floor(row.began)}&to=${Math.ceil(row.ended ?? Date.now())}`;
  const compare = machines.length > 1 && h("a", { href: `/compare/${machines.slice(0, 8).map(encodeURIComponent).join(",")}${window}` }, "Compare its machines");
  return h("section", { class: "part" }, h("h2", {}, "On all its machines"), h("p", { class: "hint" }, `${rows.length} parts, ${format.hours(all)} GPU-hours. ${said} `, compare), table.element);
}

/** This run beside the one of the same name and user before it. */
function comparison(row, earlier) {
  if (earlier === null || earlier === undefined) return null;
  const before = rowOf(earlier);
  const share = (of, part) => (of.hours > 0 && part !== undefined && part !== null ? (part / of.hours) * 100 : null);
  const labels = [...new Set([...Object.keys(row.shares), ...Object.keys(before.shares)])];
  const line = (name, write, of) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, write(of(row))), h("td", { class: "number" }, write(of(before))));
  return h(
    "section",
    { class: "part" },
    h("h2", {}, "Beside the run before"),
    h(
      "div",
      { class: "card table-card", tabindex: "0", role: "region", "aria-label": "This run and the one before" },
      h(
        "table",
        {},
        h("caption", {}, "The run before began ", h("a", { href: `/jobs/${encodeURIComponent(before.key)}` }, format.instant(before.began))),
        h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col", class: "number" }, "This run"), h("th", { scope: "col", class: "number" }, "Before"))),
        h(
          "tbody",
          {},
          line("Time", format.span, (of) => ((of.ended ?? Date.now()) - of.began) / 1000),
          line("GPUs", format.whole, (of) => of.gpus.length),
          line("GPU-hours", format.hours, (of) => of.hours),
          line("Wasted", format.percent, (of) => share(of, of.wasted)),
          line("GPUs busy", format.percent, (of) => of.busy),
          line("CPU cores", format.plain, (of) => of.cores),
          line("Memory", format.bytes, (of) => of.memory),
          labels.map((label) => line(nameOf(label), format.percent, (of) => share(of, of.shares[label] ?? 0))),
        ),
      ),
    ),
  );
}

function show({ job, parts, minutes, earlier }) {
  const row = rowOf(job);
  const end = row.ended ?? Date.now();
  const whole = { from: Math.floor(Math.min(row.began, minutes.time[0] ?? row.began)), to: Math.ceil(Math.max(end, row.began + MINUTE)) };
  const view = new View(location.search, whole);
  const cursor = new Cursor();
  const record = jobRecord(minutes, whole.from, whole.to);
  const made = [{ ...strip(), title: "Where its time went" }, ...charts()].map((spec) => new TimeChart(spec, view, cursor));
  const draw = () => {
    view.settle();
    for (const chart of made) chart.update(record);
    document.body.classList.add("loaded");
  };
  document.title = `${row.name} · ai-dashboard`;
  byId("content").replaceChildren(
    ...[
      headOf(job, row),
      toolbar(view),
      h("section", { class: "part" }, h("div", { class: "charts" }, made.map((chart) => chart.element))),
      partsOf(row, parts ?? []),
      comparison(row, earlier),
      h("p", { id: "keys", class: "hint" }, "Drag across a chart to zoom in; double-click, or Back, to return."),
    ].filter((part) => part !== null),
  );
  view.onChange(draw);
  draw();
}

function unknown(said) {
  byId("content").replaceChildren(h("div", { class: "nothing" }, h("h1", {}, `There is no job “${key}”`), h("p", {}, said), h("a", { class: "button", href: "/jobs" }, "All jobs")));
  document.title = "Unknown job · ai-dashboard";
}

async function read() {
  try {
    const said = (await api.knows("/api/jobs/")) ? await api.job(key) : null;
    clear("api");
    if (said === null) unknown("It is older than what is kept here, or the address is misspelt.");
    else {
      loadLibrary();
      show(said);
    }
  } catch (error) {
    notice("api", error, read);
  }
}

byId("tools").append(themeButton());
byId("content").append(h("p", { class: "unseen", role: "status" }, "Loading the job"));
await read();
footer();
