// One document, several pages: which one, and the modules that it needs, is decided by the address.

import { h } from "./dom.js";

const TABLES = ["table", "order"];
const CHARTS = ["chart", "exact", "export", "gutter", "heat", "lanes", "lines", "many", "marks", "menu", "pick", "rates", "record", "runs", "toolbar", "view"];

/** [path, the page's module, what else it needs, the entry of the navigation that it belongs to] */
const PAGES = [
  [/^\/$/, "fleet", [...TABLES, "add", "card", "filters", "fleetheat", "fleettable", "fleettools", "heat", "menu", "rates", "spark", "steady", "welcome"], "/"],
  [/^\/servers\/[^/]+\/?$/, "machine", [...TABLES, ...CHARTS, "detailpanels", "details", "events", "evidence", "facts", "fixes", "jobtable", "machinejobs", "panels", "steady", "welcome", "why", "window"], "/"],
  [/^\/compare(\/[^/]*)?\/?$/, "compare", [...CHARTS, "comparison"], "/"],
  [/^\/jobs\/?$/, "jobs", [...TABLES, "jobtable", "periods"], "/jobs"],
  [/^\/jobs\/[^/]+\/?$/, "job", [...TABLES, ...CHARTS, "jobrecord", "jobtable"], "/jobs"],
  [/^\/waste\/?$/, "waste", [...TABLES, "jobtable", "periods"], "/waste"],
  [/^\/alerts\/?$/, "alerts", ["alertforms", "alertrules"], "/alerts"],
];

const [, name, needs, section] = PAGES.find(([path]) => path.test(location.pathname)) ?? [null, "absent", [], ""];

// Asked for at once: a module's own imports are known only when it is there.
for (const needed of [name, ...needs]) document.head.append(h("link", { rel: "modulepreload", href: `/assets/${needed}.js` }));
document.querySelector(`.sections a[href="${section}"]`)?.setAttribute("aria-current", "page");

await import(`./${name}.js`);
