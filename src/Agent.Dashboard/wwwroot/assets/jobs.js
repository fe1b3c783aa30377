// The jobs of the whole fleet: who ran what, what held it back, and what that cost.

import { byId, h, write } from "./dom.js";
import * as api from "./api.js";
import { clear, footer, notice, themeButton } from "./chrome.js";
import { hours } from "./format.js";
import { jobTable, rowOf, spentSentence } from "./jobtable.js";
import { nameOf } from "./labels.js";
import { PERIODS, selection } from "./periods.js";

/** How often the list is read again. */
const REFRESH = 30000;

const asked = new URLSearchParams(location.search);
const search = byId("search").querySelector("input");
const user = selection("User", asked.get("user") ?? "", changed);
const label = selection("Verdict", asked.get("label") ?? "", changed);
const period = selection("Time", asked.get("minutes") ?? "1440", () => (changed(), read()), PERIODS);
const active = h("input", { type: "checkbox", checked: asked.get("active") === "true", onchange: changed });
const table = jobTable("Jobs", ["user", "job", "server", "gpus", "verdict", "began", "ended", "lasted", "hours", "wasted", "busy", "cores", "memory"], {
  order: asked.get("sort") ?? "",
  onOrder: changed,
});
const summary = h("p", { role: "status" });
const nothing = h("p", { class: "nothing", hidden: true });
let rows = [];
let leftOut = 0;
let pending = 0;
let asking = null;

search.value = asked.get("q") ?? "";
search.placeholder = "Find a job";
search.setAttribute("aria-label", "Find a job by name, user, machine or command");
byId("search").hidden = false;

function fits(row, words) {
  const text = [row.user, row.name, row.command, row.server, row.id, row.label, nameOf(row.label)].join(" ").toLowerCase();
  return (
    (user.value === "" || row.user === user.value) &&
    (label.value === "" || row.label === label.value) &&
    (!active.checked || row.ended === null) &&
    words.every((word) => text.includes(word))
  );
}

/** The hours of each label in all of these jobs. */
function together(shown) {
  const sums = {};
  for (const row of shown) for (const [name, spent] of Object.entries(row.shares)) sums[name] = (sums[name] ?? 0) + spent;
  return sums;
}

function show() {
  user.offer([...new Set(rows.map((row) => row.user))].filter(Boolean).sort().map((name) => [name, name]));
  label.offer([...new Set(rows.map((row) => row.label))].map((name) => [name, nameOf(name)]).sort((a, b) => a[1].localeCompare(b[1])));
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const shown = rows.filter((row) => fits(row, words));
  table.show(shown);
  const all = shown.reduce((sum, row) => sum + (row.hours ?? 0), 0);
  const spent = spentSentence(together(shown), all);
  const count = `${shown.length} ${shown.length === 1 ? "job" : "jobs"}, ${hours(all)} GPU-hours`;
  write(summary, `${count}${spent === "" ? "." : `: ${spent}`}${leftOut > 0 ? ` ${leftOut} more are not listed: choose a shorter time.` : ""}`);
  table.element.hidden = shown.length === 0;
  nothing.hidden = shown.length > 0;
  write(nothing, rows.length === 0 ? "No job used a GPU in this time." : "No job fits.");
}

/** Keeps in the address what was chosen, so that Back and links find it again. */
function changed() {
  const chosen = { q: search.value.trim(), user: user.value, label: label.value, minutes: period.value === "1440" ? "" : period.value, active: active.checked ? "true" : "", sort: table.order };
  const kept = Object.entries(chosen).filter(([, value]) => value !== "");
  history.replaceState(null, "", kept.length === 0 ? "/jobs" : `/jobs?${new URLSearchParams(kept)}`);
  show();
}

async function read() {
  clearTimeout(pending);
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const said = await api.jobs({ minutes: Number(period.value) }, mine.signal);
    if (mine.signal.aborted) return;
    clear("api");
    if (said === null) {
      byId("content").replaceChildren(h("div", { class: "nothing" }, h("h1", {}, "Jobs"), h("p", {}, "This dashboard keeps no jobs: it is older than this page.")));
      return;
    }
    rows = said.jobs.map(rowOf);
    leftOut = said.left_out ?? 0;
    show();
    document.body.classList.add("loaded");
  } catch (error) {
    if (mine.signal.aborted) return;
    notice("api", error, read);
  }
  pending = setTimeout(read, REFRESH);
}

document.title = "Jobs · ai-dashboard";
byId("tools").append(themeButton());
byId("content").append(
  h("div", { class: "fleet-head" }, h("div", {}, h("h1", {}, "Jobs"), summary)),
  h("div", { class: "choices", role: "group", "aria-label": "Show only" }, period.element, user.element, label.element, h("label", {}, active, "running now")),
  table.element,
  nothing,
);
search.addEventListener("input", changed);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !(event.target instanceof HTMLInputElement) && !(event.target instanceof HTMLSelectElement)) {
    event.preventDefault();
    search.focus();
  }
});
await read();
footer();
