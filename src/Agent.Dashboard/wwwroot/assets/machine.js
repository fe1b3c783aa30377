// One machine: what holds it back, and what all its parts did over time.

import { byId, h } from "./dom.js";
import * as api from "./api.js";
import { loadLibrary, TimeChart } from "./chart.js";
import { detailSections } from "./details.js";
import { clear, footer, linkState, notice, themeButton } from "./chrome.js";
import { machineEvents } from "./events.js";
import { instant } from "./format.js";
import { fileSystems, gpuTable, head, tiles } from "./facts.js";
import { machineJobs } from "./machinejobs.js";
import { listen } from "./live.js";
import { startAgent } from "./welcome.js";
import { panels } from "./panels.js";
import { Record } from "./record.js";
import { runAt } from "./runs.js";
import { toolbar } from "./toolbar.js";
import { Cursor, View } from "./view.js";
import { whyPanel } from "./why.js";
import { mostOf, snapshotOf, windowName } from "./window.js";

/** Samples that came live are kept for so long, to complete the bucket that a history ended in. */
const RECENT = 120000;
/** From this bucket width on, live samples change a chart too little to draw them; the history is read again instead. */
const COARSE = 60000;

const slug = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const view = new View(location.search);
const cursor = new Cursor();
const link = linkState();
const figures = tiles();
const gpus = gpuTable();
const jobs = machineJobs(slug, (row, opener) => why.open(null, opener, row.id));
const events = machineEvents(slug, view);
const why = whyPanel(slug, { fallback: saidByStrip, places: { has: isShown, go: goTo } });
const top = head(slug, (opener) => why.open(past === null ? null : past.at, opener));
const rest = h("section", { class: "part" });

const charts = [];
let record = null;
/** What took most of a window that is over; null while the present is followed. */
let past = null;
let newest = null;
let isWaiting = false;
let recent = [];
let asking = null;
let reading = 0;
let drawn = 0;
let asked = 0;
let staleAfter = Infinity;

// ---- Layout ----

const sections = panels().map(([title, specs]) => {
  const made = specs.map((spec) => new TimeChart(spec.id === "bottleneck" ? { ...spec, pick } : spec, view, cursor));
  charts.push(...made);
  const body = h("div", { class: "charts" }, made.map((chart) => chart.element));
  return h("section", { class: "part" }, title && h("h2", {}, title), body);
});
const [stripSection, gpuSection, ...others] = sections;
const details = detailSections(slug, view, cursor);
gpuSection.append(gpus.element);

const help = h(
  "p",
  { id: "keys", class: "hint" },
  "Drag across a chart to zoom in; double-click, or Back, to return. Click a stretch of the strip to see why. With fingers: one moves in time, two zoom, two taps return. ",
  "With the keyboard: arrows move the cursor, + and − zoom, Page Up and Page Down move in time, Enter on the strip says why, Escape returns.",
);

const nothingHere = h("div", { class: "notice quiet", hidden: true });
const notShown = h("p", { class: "hint", hidden: true });
const first = h("div", { hidden: true });
const compare = h("p", { class: "hint" }, h("a", { href: `/compare/${encodeURIComponent(slug)}` }, "Compare with other machines"));
const overTime = h("div", { class: "over-time" }, toolbar(view, (minutes) => api.expectHistory(slug, minutes)), nothingHere, notShown, stripSection, jobs.element, gpuSection, ...others, ...details.elements, events.element, rest, compare, help);
const page = () => [top.element, figures.element, first, overTime, why.element];

// ---- Why ----

const chartOf = (id) => charts.find((chart) => chart.spec.id === id && !chart.element.hidden && chart.element.isConnected);

function isShown(id) {
  return chartOf(id) !== undefined;
}

/** Shows a chart that a witness belongs to. */
function goTo(id) {
  const chart = chartOf(id);
  chart.element.scrollIntoView({ block: "center" });
  chart.plot.focus({ preventScroll: true });
  chart.element.classList.remove("flash");
  // The animation begins anew only after a layout without it.
  void chart.element.offsetWidth;
  chart.element.classList.add("flash");
}

/** What the strip knows of an instant. */
function saidByStrip(at) {
  const run = record === null ? null : runAt(record.runs, at);
  return run === null ? null : { label: run.label, reason: run.reason ?? "", since: new Date(run.from).toISOString(), fix: "", source: "rule" };
}

/** A run of the strip that was clicked: its time is shown, with a little around it, and the reasons behind it. */
function pick(chart, at) {
  const last = record.runs.at(-1);
  const run = runAt(record.runs, at) ?? (last && at >= last.to ? last : null);
  if (run === null) return;
  const around = Math.max((run.to - run.from) * 0.1, 150000 - (run.to - run.from) / 2);
  const within = Math.max(run.from, Math.min(run.to - 1, at));
  view.show(run.from - around, run.to + around);
  why.open(within, chart.plot);
}

/** Where the window holds no samples but the machine has some: when the newest was, and the way there. */
function sayIfEmpty() {
  const last = Date.parse(top.server?.latest?.collected_at);
  nothingHere.hidden = record.time.length > 0 || !(last > 0);
  if (nothingHere.hidden) return;
  nothingHere.replaceChildren(
    h("div", {}, h("strong", {}, "No samples in this time range."), h("p", {}, `The newest is from ${instant(last)}.`)),
    h("span", { class: "spring" }),
    h("button", { class: "button", type: "button", onclick: () => view.show(last - 3540000, last + 60000) }, "Show the hour before it"),
  );
}

// ---- Drawing ----

function draw() {
  if (record === null) return;
  drawn = Date.now();
  view.settle();
  for (const chart of charts) chart.update(record);
  sayIfEmpty();
  notShown.hidden = record.leftOut === 0;
  notShown.textContent = `Shown are the busiest disks, GPUs and fans; ${record.leftOut} more are not.`;
  for (const section of sections) {
    const shown = [...section.querySelectorAll(".chart, .table-card")].filter((part) => !part.hidden);
    // A heading over nothing says nothing.
    section.hidden = shown.length === 0;
    // A chart that would stand alone in its row takes the whole of it.
    const inPairs = shown.filter((part) => part.matches(".chart:not([data-chart=bottleneck])"));
    inPairs.forEach((part, at) => part.classList.toggle("wide", at === inPairs.length - 1 && at % 2 === 0));
  }
  document.body.classList.toggle("loaded", true);
  follow();
}

/** Head, tiles and tables are of the window that is shown: of the newest sample while it moves along, else means. */
function follow() {
  const { from, to } = view.drawn;
  past = view.follows || record === null ? null : (mostOf(record, from, to) ?? { label: null, at: to });
  const window = past === null ? "" : windowName(from, to, view.now());
  top.follow(past === null ? null : window, past?.label ? past : null);
  const snapshot = past === null ? newest : (snapshotOf(record, from, to) ?? { gpu_count: record.gpus.length });
  if (snapshot === null) return;
  figures.show(snapshot, window);
  gpus.show(snapshot.gpus ?? [], window);
}

/** The old picture stays, dimmed, until the one that was asked for is there. */
function wait(waits) {
  isWaiting = waits;
  overTime.classList.toggle("waits", waits);
  overTime.setAttribute("aria-busy", String(waits));
}

// ---- Reading ----

/** Asks for what the view shows. A later request overtakes an earlier one. */
async function read() {
  clearTimeout(reading);
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const { minutes, to } = view.request;
    const json = await api.history(slug, minutes, to, mine.signal);
    if (mine.signal.aborted) return;
    clear("history");
    if (view.follows) view.synchronise(Date.parse(json.to));
    record = new Record(json, view.follows ? recent : [], top.server?.expected_interval_seconds ?? null);
    wait(false);
    draw();
    details.show(record.details, top.server?.expected_interval_seconds ?? null);
  } catch (error) {
    if (mine.signal.aborted) return;
    wait(false);
    notice("history", error, read);
  }
  if (view.follows) reading = setTimeout(read, record !== null && record.step < COARSE ? 300000 : 60000);
}

async function readLatest() {
  asked = Date.now();
  try {
    const { server, snapshot } = await api.latest(slug);
    clear("latest");
    top.show(server, snapshot?.sample);
    rest.replaceChildren(...[fileSystems(server)].filter((part) => part !== null));
    figures.element.hidden = snapshot === null;
    first.hidden = snapshot !== null;
    overTime.hidden = snapshot === null;
    if (snapshot === null) first.replaceChildren(startAgent(slug));
    else if (record !== null) sayIfEmpty();
    if (snapshot !== null) {
      newest = { ...snapshot, gpus: snapshot.sample.gpus };
      jobs.now(snapshot.jobs);
      follow();
    }
    return true;
  } catch (error) {
    if (error.status === 404) {
      unknown(error);
      return false;
    }
    notice("latest", error, readLatest);
    return true;
  }
}

function unknown(error) {
  byId("content").replaceChildren(
    h("div", { class: "nothing" }, h("h1", {}, `There is no machine “${slug}”`), h("p", {}, error.advice || "It was removed, or the address is misspelt."), h("a", { class: "button", href: "/" }, "All machines")),
  );
  document.title = "Unknown machine · ai-dashboard";
  for (const chart of charts) chart.element.remove();
}

// ---- Live ----

function sample(snapshot) {
  const at = Date.parse(snapshot.collected_at);
  recent = [...recent.filter((one) => at - Date.parse(one.collected_at) < Math.max(RECENT, 2 * (record?.step ?? 0))), snapshot];
  if (recent.length > 600) recent = recent.slice(-600);
  top.sample(snapshot);
  if (overTime.hidden) {
    readLatest();
    read();
    return;
  }
  newest = snapshot;
  jobs.live(snapshot.jobs);
  if (isWaiting) return;
  if (view.follows) follow();
  if (!view.follows || record === null || record.step >= COARSE) return;
  if (!record.append(snapshot)) {
    read();
    return;
  }
  view.end = Math.max(view.now(), at);
  record.trim(view.from - 60000);
  // Where a bucket is wider than a sample, most samples change a pixel at most.
  if (Date.now() - drawn >= Math.min(5000, Math.max(900, record.step / 2))) draw();
}

view.onChange(() => {
  // A part of what is here can be shown at once, only less closely.
  if (record?.covers(view.from, view.to)) draw();
  else wait(true);
  read();
  jobs.read(view);
  events.read();
});
events.onChange(() => {
  for (const chart of [...charts, ...details.charts]) chart.mark(events.marks);
});
setInterval(() => {
  top.age(1);
  if (view.follows && events.age > 60000 && document.visibilityState === "visible") events.read();
  // Silence: the dashboard says when it is too long.
  const server = top.server;
  if (server?.state === "live" && server.age_seconds > staleAfter && Date.now() - asked > 5000) readLatest();
  // Time passes on the axis too, when no sample comes.
  if (view.follows && !isWaiting && record !== null && Date.now() - drawn > Math.max(10000, (view.to - view.from) / 600) && document.visibilityState === "visible") {
    view.end = view.now();
    draw();
  }
}, 1000);

byId("tools").append(link.element, " ", themeButton());
byId("tools").classList.add("link-state");
byId("content").append(...page());
top.element.classList.add("waiting-for-data");

// A link may lead to the reasons of a moment.
const whyAsked = new URLSearchParams(location.search).get("why");

const shown = readLatest();
shown.then(loadLibrary);
const [, known] = await Promise.all([read(), shown]);
top.element.classList.remove("waiting-for-data");
if (known) {
  jobs.read(view);
  events.read();
  if (whyAsked !== null) why.open(Number(whyAsked) > 0 ? Number(whyAsked) : null, null);
  footer().then((said) => {
    staleAfter = said?.stale_after_seconds ?? Infinity;
  });
  listen(slug, {
    sample: (_, snapshot) => sample(snapshot),
    servers: readLatest,
    state(state) {
      link.set(state);
      // Asking says what is wrong: nobody there, or a session that has ended.
      if (state === "lost") readLatest();
    },
    gap() {
      recent = [];
      read();
      readLatest();
    },
  });
}
