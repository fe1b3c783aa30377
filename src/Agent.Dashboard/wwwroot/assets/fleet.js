// The fleet: a card for each machine, what needs attention first, kept current by server-sent events.

import { byId, h, write } from "./dom.js";
import { adding } from "./add.js";
import * as api from "./api.js";
import { card } from "./card.js";
import { clear, footer, linkState, notice, themeButton } from "./chrome.js";
import { filterName, filters, fits } from "./filters.js";
import { fleetTools, headed } from "./fleettools.js";
import { needsAttention, rankOf } from "./labels.js";
import { listen } from "./live.js";
import { Order, URGENCY, put } from "./order.js";
import { welcome } from "./welcome.js";

/** How often the whole list is read again, for sparklines and for machines that went silent. */
const REFRESH = 20000;
/** From so many machines on there is something to search. */
const MANY = 5;
/** From so many machines on rows show more of them at once than cards, unless the viewer chose. */
const CROWD = 25;

const asked = new URLSearchParams(location.search);
const cards = new Map();
const add = adding();
const addButton = add.button("button");
const link = linkState();
const search = byId("search").querySelector("input");
const title = h("h1", {}, "Fleet");
const summary = h("p", { role: "status" });
const buttons = filters(choose);
const grid = h("div", { class: "grid" });
const tools = fleetTools(asked, grid, () => rearrange());
const body = h("div", { class: "fleet-body" }, grid, tools.table.element, tools.heat.element);
const nothing = h("div", { class: "nothing", hidden: true });
const order = new Order(body, arrange);
let chosen = asked.get("show") ?? "all";
let pending = 0;
let read = 0;
let isChanged = false;
let staleAfter = Infinity;

search.value = asked.get("q") ?? "";

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

function showCounts() {
  const all = [...cards.values()];
  const judged = all.map((one) => one.judged);
  const needing = judged.filter(({ severity }) => needsAttention(severity)).length;
  const live = all.filter((one) => one.server.state === "live").length;
  const faults = judged.filter(({ severity }) => severity === "fault").length;
  const need = needing === 0 ? "none needs attention" : `${needing} ${needing === 1 ? "needs" : "need"} attention`;
  write(summary, `${plural(all.length, "machine", "machines")}, ${live} live · ${need}${faults > 0 ? `, ${plural(faults, "fault", "faults")}` : ""}`);
  document.title = needing === 0 ? "Fleet · ai-dashboard" : `(${needing}) Fleet · ai-dashboard`;
  buttons.show(judged, chosen);
}

/** The words of the search. */
const words = () => search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");

/** Shows the cards that are asked for, in order. */
function arrange() {
  const wanted = words();
  const all = [...cards.values()].sort((a, b) => rankOf(a.judged) - rankOf(b.judged) || a.server.slug.localeCompare(b.server.slug));
  const shown = all.filter((one) => fits(chosen, one.judged) && one.matches(wanted));
  const isShown = new Set(shown);
  for (const one of all) {
    one.element.hidden = !isShown.has(one);
    one.placed = one.judged;
  }
  put(grid, [...headed(shown, tools.group), ...all.filter((one) => !isShown.has(one)).map((one) => one.element)]);
  if (tools.layout === "table") tools.table.show(shown);
  if (tools.layout === "heatmap") tools.heat.show(shown);
  nothing.hidden = shown.length > 0 || cards.size === 0;
  tools.table.element.hidden = tools.layout !== "table" || shown.length === 0;
  if (!nothing.hidden) {
    nothing.replaceChildren(
      h("p", {}, wanted.length > 0 ? `No machine matches “${search.value.trim()}”${chosen === "all" ? "" : ` among those ${filterName(chosen)}`}.` : "No machine is in this state right now."),
      h("button", { class: "button", type: "button", onclick: reset }, "Show all"),
    );
  }
}

/** How urgently the cards want another order. A fault does not wait until the pointer has left. */
function urgency() {
  let most = URGENCY.none;
  for (const { judged, placed } of cards.values()) {
    if (placed === undefined) return URGENCY.now;
    if (judged.severity !== placed.severity) {
      if (judged.severity === "fault") return URGENCY.now;
      most = URGENCY.severity;
    } else if (judged.label !== placed.label && most === URGENCY.none) most = URGENCY.soon;
  }
  return most === URGENCY.none && tools.layout === "table" && tools.table.order !== "" ? URGENCY.soon : most;
}

/** The viewer's own choice: shown at once, and kept in the address, so that Back finds it again. */
function rearrange() {
  const kept = Object.entries({ show: chosen === "all" ? "" : chosen, q: search.value.trim(), ...tools.address() }).filter(([, value]) => value !== "");
  history.replaceState(null, "", kept.length === 0 ? "/" : `/?${new URLSearchParams(kept)}`);
  order.ask(URGENCY.now);
}

function reset() {
  search.value = "";
  choose("all");
  search.focus();
}

function choose(key) {
  chosen = key;
  showCounts();
  rearrange();
}

function show(all) {
  byId("search").hidden = all.length < MANY;
  if (all.length === 0) {
    cards.clear();
    if (!byId("content").querySelector(".welcome")) byId("content").replaceChildren(welcome(add.button("button strong")));
    document.title = "ai-dashboard";
    return;
  }
  const slugs = new Set(all.map((server) => server.slug));
  for (const [slug, one] of cards) {
    if (!slugs.has(slug)) {
      one.element.remove();
      cards.delete(slug);
    }
  }
  for (const server of all) {
    const known = cards.get(server.slug);
    if (known) known.show(server);
    else cards.set(server.slug, card(server));
  }
  tools.labelled(all);
  showCounts();
  if (!body.isConnected) {
    tools.begin(all.length >= CROWD ? "rows" : "cards");
    byId("content").replaceChildren(
      h("div", { class: "fleet-head" }, h("div", {}, title, summary), h("div", { class: "fleet-tools" }, addButton, tools.element), buttons.element),
      body,
      nothing,
    );
  }
  order.ask(urgency());
}

async function refresh() {
  clearTimeout(pending);
  read = Date.now();
  try {
    const said = await api.servers();
    clear("api");
    show(said.servers);
    add.servers(said.servers);
  } catch (error) {
    notice("api", error, refresh);
  }
  pending = setTimeout(refresh, REFRESH);
}

/** Reads the list again soon: several reasons in a row are one. */
function soon(delay = 600) {
  clearTimeout(pending);
  pending = setTimeout(refresh, delay);
}

const bones = () => h("div", { class: "grid", "aria-hidden": "true" }, Array.from({ length: 6 }, () => h("div", { class: "card machine skeleton" })));

byId("tools").append(link.element, " ", themeButton());
byId("tools").classList.add("link-state");
byId("content").append(h("p", { class: "unseen", role: "status" }, "Loading the fleet"), bones());
search.addEventListener("input", rearrange);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    rearrange();
  }
});
setInterval(() => {
  for (const one of cards.values()) {
    const before = one.judged.label;
    one.age(1);
    isChanged ||= one.judged.label !== before;
    // Silence: the dashboard says when it is too long.
    if (one.server.state === "live" && one.server.age_seconds > staleAfter && Date.now() - read > 5000) refresh();
  }
  if (cards.size === 0) return;
  if (isChanged) {
    isChanged = false;
    showCounts();
    order.ask(urgency());
  } else order.tick();
}, 1000);

await refresh();
footer().then((said) => {
  staleAfter = said?.stale_after_seconds ?? Infinity;
  add.admit(said?.role);
});
listen(null, {
  sample(slug, snapshot) {
    add.sample(slug);
    const one = cards.get(slug);
    if (one === undefined || one.sample(snapshot)) soon();
    else if (tools.layout === "table") tools.table.write(one);
    isChanged = true;
  },
  servers: () => soon(100),
  state(state) {
    link.set(state);
    // Asking says what is wrong: nobody there, or a session that has ended.
    if (state === "lost") soon(0);
  },
  gap: () => soon(0),
});
