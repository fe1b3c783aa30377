// The fleet: a card for each machine, what needs attention first, kept current by server-sent events.

import { byId, h, icon, write } from "./dom.js";
import { adding } from "./add.js";
import * as api from "./api.js";
import { card } from "./card.js";
import { clear, footer, linkState, notice, themeButton } from "./chrome.js";
import { LABELS, nameOf, shownAs } from "./labels.js";
import { listen } from "./live.js";
import { welcome } from "./welcome.js";

/** How often the whole list is read again, for sparklines and for machines that went silent. */
const REFRESH = 20000;
/** From so many machines on there is something to search. */
const MANY = 5;
/** From so many machines on rows show more of them at once than cards, unless the viewer chose. */
const CROWD = 25;

const cards = new Map();
const add = adding();
const addButton = add.button("button");
const link = linkState();
const search = byId("search").querySelector("input");
const title = h("h1", {}, "Fleet");
const summary = h("p", { role: "status" });
const filters = h("div", { class: "filters", role: "group", "aria-label": "Show only machines that are" });
const layout = h("button", { class: "icon-button", type: "button", onclick: () => setLayout(!grid.classList.contains("rows"), true) });
const grid = h("div", { class: "grid" });
const nothing = h("div", { class: "nothing", hidden: true });
let chosen = new URLSearchParams(location.search).get("show") ?? "all";
let pending = 0;
let asked = 0;
let staleAfter = Infinity;

const ORDER = ["stale", ...Object.keys(LABELS), "never", "disabled"];
const NEEDS = new Set(["stale", "memory-pressure", "io-bound", "cpu-bound", "underutilized"]);

const fits = (server) => chosen === "all" || (chosen === "attention" ? NEEDS.has(shownAs(server)) : shownAs(server) === chosen);

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

function showSummary(all) {
  const needing = all.filter((server) => NEEDS.has(shownAs(server))).length;
  const live = all.filter((server) => server.state === "live").length;
  write(
    summary,
    `${plural(all.length, "machine", "machines")}, ${live} live · ${needing === 0 ? "none needs attention" : `${needing} ${needing === 1 ? "needs" : "need"} attention`}`,
  );
  document.title = needing === 0 ? "Fleet · ai-dashboard" : `(${needing}) Fleet · ai-dashboard`;
}

const CARDS = icon("M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z");
const ROWS = icon("M4 6h16", "M4 12h16", "M4 18h16");

function setLayout(rows, isChoice) {
  grid.classList.toggle("rows", rows);
  layout.replaceChildren(rows ? CARDS : ROWS);
  layout.title = rows ? "Show as cards" : "Show as rows";
  layout.setAttribute("aria-label", layout.title);
  try {
    if (isChoice) localStorage.setItem("layout", rows ? "rows" : "cards");
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

function chosenLayout() {
  try {
    return localStorage.getItem("layout");
  } catch {
    return null;
  }
}

/** One button for all, one for what needs attention, one for each label that occurs. */
function showFilters(all) {
  const counts = new Map();
  for (const server of all) counts.set(shownAs(server), (counts.get(shownAs(server)) ?? 0) + 1);
  const wanted = [
    ["all", "All", all.length],
    ["attention", "Needs attention", all.filter((server) => NEEDS.has(shownAs(server))).length],
    ...ORDER.filter((label) => counts.has(label) || label === chosen).map((label) => [label, nameOf(label), counts.get(label) ?? 0]),
  ];
  const existing = new Map([...filters.children].map((button) => [button.dataset.show, button]));
  const buttons = wanted.map(([key, text, count]) => {
    const button =
      existing.get(key) ??
      h("button", { class: "filter", type: "button", "data-show": key, "data-label": key in LABELS || key === "stale" || key === "never" || key === "disabled" ? key : null }, text, h("span", { class: "number" }));
    write(button.lastElementChild, String(count));
    button.setAttribute("aria-pressed", String(key === chosen));
    return button;
  });
  const focused = document.activeElement;
  if (buttons.some((button, at) => filters.children[at] !== button) || filters.children.length !== buttons.length) {
    filters.replaceChildren(...buttons);
    if (filters.contains(focused)) focused.focus();
  }
  filters.hidden = all.length < 2;
}

/** Shows the cards that are asked for, in order. Moves only what is out of place, so that the focus stays where it is. */
function arrange() {
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const sorted = [...cards.values()].sort((a, b) => b.server.attention - a.server.attention || a.server.slug.localeCompare(b.server.slug));
  let shown = 0;
  sorted.forEach((one, at) => {
    const visible = fits(one.server) && one.matches(words);
    one.element.hidden = !visible;
    if (visible) shown += 1;
    if (grid.children[at] !== one.element) grid.insertBefore(one.element, grid.children[at] ?? null);
  });
  nothing.hidden = shown > 0 || cards.size === 0;
  if (!nothing.hidden) {
    nothing.replaceChildren(
      h("p", {}, words.length > 0 ? `No machine matches “${search.value.trim()}”${chosen === "all" ? "" : ` among those in state ${nameOf(chosen)}`}.` : "No machine is in this state right now."),
      h("button", { class: "button", type: "button", onclick: reset }, "Show all"),
    );
  }
}

function reset() {
  search.value = "";
  choose("all");
  search.focus();
}

function choose(key) {
  chosen = key;
  history.replaceState(null, "", key === "all" ? "/" : `/?show=${encodeURIComponent(key)}`);
  const all = [...cards.values()].map((one) => one.server);
  showFilters(all);
  arrange();
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
  showSummary(all);
  showFilters(all);
  arrange();
  if (!grid.isConnected) {
    setLayout((chosenLayout() ?? (all.length >= CROWD ? "rows" : "cards")) === "rows", false);
    byId("content").replaceChildren(h("div", { class: "fleet-head" }, h("div", {}, title, summary), h("div", { class: "fleet-tools" }, addButton, layout), filters), grid, nothing);
  }
}

async function refresh() {
  clearTimeout(pending);
  asked = Date.now();
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
filters.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) choose(button.dataset.show);
});
search.addEventListener("input", arrange);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    arrange();
  }
});
setInterval(() => {
  for (const one of cards.values()) {
    one.age(1);
    // Silence: the dashboard says when it is too long.
    if (one.server.state === "live" && one.server.age_seconds > staleAfter && Date.now() - asked > 5000) refresh();
  }
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
  },
  servers: () => soon(100),
  state(state) {
    link.set(state);
    // Asking says what is wrong: nobody there, or a session that has ended.
    if (state === "lost") soon(0);
  },
  gap: () => soon(0),
});
