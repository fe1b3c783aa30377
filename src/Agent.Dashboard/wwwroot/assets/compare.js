// Several machines side by side: what held each of them back, and the same figures as lines in one chart.

import { byId, h } from "./dom.js";
import * as api from "./api.js";
import { loadLibrary, TimeChart } from "./chart.js";
import { clear, footer, notice, themeButton } from "./chrome.js";
import { Comparison, meanOfGpus, ofMachine, sumOfGpus } from "./comparison.js";
import * as format from "./format.js";
import { strip } from "./lanes.js";
import { lines } from "./lines.js";
import { Record } from "./record.js";
import { toolbar } from "./toolbar.js";
import { Cursor, View } from "./view.js";

/** As many as there are colours. */
const MOST = 8;
const AGAIN = 30000;

const asked = [...new Set(decodeURIComponent(location.pathname.split("/")[2] ?? "").split(",").filter((slug) => slug !== ""))].slice(0, MOST);
const view = new View(location.search);
const cursor = new Cursor();

const figure = (id, title, of, more) => lines({ id, title, ...more, sources: (record) => record.sources(id, of) });

const FIGURES = [
  figure("compare-gpu", "GPU utilisation, mean", meanOfGpus("utilization_gpu_percent"), { percent: true, optional: true, format: format.percent }),
  figure("compare-gpu-memory", "GPU memory, mean", meanOfGpus("memory_percent"), { percent: true, optional: true, format: format.percent }),
  figure("compare-gpu-power", "GPU power, all GPUs", sumOfGpus("power_w"), { least: 50, optional: true, format: format.watts }),
  figure("compare-gpu-temperature", "GPU temperature, mean", meanOfGpus("temperature_c"), { fit: true, optional: true, format: format.celsius }),
  figure("compare-cpu", "CPU", ofMachine("cpu_usage_percent"), { percent: true, format: format.percent }),
  figure("compare-memory", "Memory", ofMachine("memory_percent"), { percent: true, format: format.percent }),
  figure("compare-disk-read", "Disk reads", ofMachine("disk_read_bytes_per_s"), { least: 1e6, format: format.rate }),
  figure("compare-disk-write", "Disk writes", ofMachine("disk_write_bytes_per_s"), { least: 1e6, format: format.rate }),
  figure("compare-received", "Network, received", ofMachine("network_rx_bytes_per_s"), { least: 1e5, format: format.rate }),
  figure("compare-sent", "Network, sent", ofMachine("network_tx_bytes_per_s"), { least: 1e5, format: format.rate }),
];

let strips = [];
let charts = [];
let machines = [];
let records = [];
let asking = null;
let timer = 0;

const addressOf = (slugs) => `/compare/${slugs.map(encodeURIComponent).join(",")}${location.search}`;
const body = h("div", { class: "charts" });
const lanes = h("div", { class: "charts" });
const overTime = h("div", { class: "over-time", hidden: true }, toolbar(view), h("section", { class: "part" }, lanes), h("section", { class: "part" }, body));

/** The machines that are compared, each with a way out, and the others to be added. */
function chosen(all) {
  const slugs = machines.map(({ slug }) => slug);
  const others = all.filter(({ slug }) => !slugs.includes(slug)).sort((one, other) => one.name.localeCompare(other.name));
  const chip = ({ slug, name }, index) => {
    const swatch = h("i", { "aria-hidden": "true" });
    swatch.style.setProperty("--c", `var(--series-${index})`);
    return h(
      "li",
      {},
      swatch,
      h("a", { href: `/servers/${encodeURIComponent(slug)}${location.search}` }, name),
      h("a", { class: "without", href: addressOf(slugs.filter((one) => one !== slug)), "aria-label": `Without ${name}`, title: `Without ${name}` }, "×"),
    );
  };
  const add = h(
    "select",
    {
      "aria-label": "Add a machine",
      disabled: machines.length >= MOST || others.length === 0,
      onchange: (event) => event.target.value !== "" && location.assign(addressOf([...slugs, event.target.value])),
    },
    h("option", { value: "" }, machines.length >= MOST ? `${MOST} at most` : "Add a machine …"),
    others.map(({ slug, name }) => h("option", { value: slug }, name === slug ? name : `${name} (${slug})`)),
  );
  return h("ul", { class: "compared", "aria-label": "Machines" }, machines.map(chip), h("li", {}, add));
}

function draw() {
  if (records.length === 0) return;
  view.settle();
  strips.forEach((chart, index) => chart.update(records[index].record));
  const all = new Comparison(records, view.from, view.to);
  for (const chart of charts) chart.update(all);
  const shown = charts.filter((chart) => !chart.element.hidden);
  shown.forEach((chart, at) => chart.element.classList.toggle("wide", at === shown.length - 1 && at % 2 === 0));
  document.body.classList.add("loaded");
}

/** Asks for the histories of all of them. A later request overtakes an earlier one. */
async function read() {
  clearTimeout(timer);
  asking?.abort();
  if (machines.length === 0) return;
  const mine = (asking = new AbortController());
  try {
    const { minutes, to } = view.request;
    const read = await Promise.all(machines.map(({ slug }) => api.history(slug, minutes, to, mine.signal)));
    if (mine.signal.aborted) return;
    clear("history");
    if (view.follows) view.synchronise(Math.max(...read.map((one) => Date.parse(one.to))));
    records = machines.map((machine, index) => ({ ...machine, record: new Record(read[index], [], machine.interval) }));
    draw();
  } catch (error) {
    if (mine.signal.aborted) return;
    notice("history", error, read);
  }
  overTime.classList.remove("waits");
  if (view.follows) timer = setTimeout(read, AGAIN);
}

async function begin() {
  try {
    const { servers } = await api.servers();
    clear("servers");
    const bySlug = new Map(servers.map((server) => [server.slug, server]));
    const unknown = asked.filter((slug) => !bySlug.has(slug));
    machines = asked.filter((slug) => bySlug.has(slug)).map((slug) => ({ slug, name: bySlug.get(slug).name, interval: bySlug.get(slug).expected_interval_seconds }));
    strips = machines.map(({ slug, name }) => new TimeChart({ ...strip(), id: `strip-${slug}`, title: name, level: "h3" }, view, cursor));
    charts = FIGURES.map((spec) => new TimeChart(spec, view, cursor));
    lanes.replaceChildren(...strips.map((chart) => chart.element));
    body.replaceChildren(...charts.map((chart) => chart.element));
    overTime.hidden = machines.length === 0;
    byId("content").replaceChildren(
      ...[
        h("h1", {}, "Compare"),
        chosen(servers),
        unknown.length > 0 && h("p", { class: "hint" }, `Not known here: ${unknown.join(", ")}.`),
        machines.length < 2 && h("p", { class: "hint" }, machines.length === 0 ? "Add the machines that are to be compared." : "Add another machine to compare it with."),
        overTime,
        h("p", { id: "keys", class: "hint" }, "Drag across a chart to zoom in; double-click, or Back, to return. All charts share one cursor."),
      ].filter(Boolean),
    );
    if (machines.length > 0) loadLibrary();
    await read();
  } catch (error) {
    notice("servers", error, begin);
  }
}

view.onChange(() => {
  overTime.classList.add("waits");
  read();
});
document.title = "Compare · ai-dashboard";
byId("tools").append(themeButton());
await begin();
footer();
