// Alerts: what is wrong now, what was, when nobody is told, and by which rules.

import { byId, h, write } from "./dom.js";
import * as api from "./api.js";
import { clear, countAlerts, footer, notice, themeButton } from "./chrome.js";
import { instant, span } from "./format.js";
import { channelList, maintenance } from "./alertforms.js";
import { rules } from "./alertrules.js";

/** How often the list is read again. */
const REFRESH = 10000;
/** So many alerts that are over are shown. */
const MOST_OVER = 50;

/** For how long an alert can be kept quiet: minutes, and what it is called. */
const MUTES = [
  [60, "1 hour"],
  [480, "8 hours"],
  [1440, "1 day"],
  [10080, "1 week"],
];

const summary = h("p", { role: "status" });
const open = h("ul", { class: "alerts", "aria-label": "Open alerts" });
const over = h("ol", { class: "events", "aria-label": "Alerts that are over" });
const overPart = h("section", { class: "part", hidden: true }, h("h2", {}, "Over"), over);
let pending = 0;
let asking = null;
let isAdmin = false;
let shown = "";

const ms = (text) => Date.parse(text);

/** Does something that changes an alert, and reads the list again; what went wrong is said above. */
async function act(button, work) {
  button.disabled = true;
  try {
    await work();
    clear("act");
    await read();
  } catch (error) {
    notice("act", error);
  } finally {
    button.disabled = false;
  }
}

function muteChoice(alert) {
  if (alert.muted_until) {
    return h("button", { class: "button", type: "button", "data-act": "unmute", onclick: (event) => act(event.currentTarget, () => api.mute(alert.id, null)) }, "Unmute");
  }
  const choice = h(
    "select",
    { class: "button", "data-act": "mute", "aria-label": `Mute: ${alert.what}` },
    h("option", { value: "" }, "Mute for …"),
    MUTES.map(([minutes, name]) => h("option", { value: String(minutes) }, name)),
  );
  choice.addEventListener("change", () => choice.value !== "" && act(choice, () => api.mute(alert.id, Number(choice.value))));
  return choice;
}

/** What somebody did about an alert, or what keeps it quiet. */
const states = (alert) =>
  [
    alert.acknowledged && `acknowledged${alert.acknowledged.by ? ` by ${alert.acknowledged.by}` : ""}, ${instant(ms(alert.acknowledged.at))}`,
    alert.muted_until && `muted until ${instant(ms(alert.muted_until))}`,
    alert.in_maintenance && "in maintenance: nobody is told",
  ].filter(Boolean);

const lasts = (alert) => `since ${instant(ms(alert.since))}, for ${span((Date.now() - ms(alert.since)) / 1000)}`;

function item(alert) {
  const when = h("time", { datetime: alert.since, "data-since": alert.since }, lasts(alert));
  const actions = isAdmin
    ? h(
        "div",
        { class: "alert-actions" },
        alert.acknowledged
          ? null
          : h("button", { class: "button", type: "button", "data-act": "ack", "aria-label": `Acknowledge: ${alert.what}`, onclick: (event) => act(event.currentTarget, () => api.acknowledge(alert.id)) }, "Acknowledge"),
        muteChoice(alert),
      )
    : null;
  return h(
    "li",
    { class: "alert card", "data-level": alert.level, "data-id": String(alert.id) },
    h(
      "div",
      { class: "alert-words" },
      h("h3", {}, h("span", { class: "level" }, alert.level), alert.server ? h("a", { href: alert.path, title: "Show the moment" }, alert.what) : alert.what),
      alert.why ? h("p", {}, `${alert.why}.`) : null,
      h("p", { class: "alert-when" }, alert.title, " · ", when),
      states(alert).map((text) => h("p", { class: "alert-state" }, text)),
    ),
    actions,
  );
}

const overItem = (alert) =>
  h(
    "li",
    { "data-tone": alert.level === "critical" ? "bad" : "warn" },
    h("span", { class: "number" }, instant(ms(alert.since))),
    h("b", {}, span((ms(alert.ended_at) - ms(alert.since)) / 1000)),
    h("span", {}, alert.server ? h("a", { href: alert.path }, alert.what) : alert.what, alert.why ? h("small", {}, ` ${alert.why}`) : null),
  );

/** The same element is focused again, if it is still there. */
function keepingFocus(change) {
  const focused = document.activeElement?.closest?.("[data-act]");
  const [id, what] = [focused?.closest("[data-id]")?.dataset.id, focused?.dataset.act];
  change();
  if (id) (open.querySelector(`[data-id="${id}"] [data-act="${what}"]`) ?? open.querySelector(`[data-id="${id}"] a, [data-id="${id}"] button`))?.focus();
}

function show(said) {
  countAlerts(said.open);
  const now = said.alerts.filter((alert) => alert.state === "firing");
  const past = said.alerts.filter((alert) => alert.state === "ended").slice(0, MOST_OVER);
  const { critical, warning } = said.open;
  write(summary, critical + warning === 0 ? "Nothing is wrong." : `${critical} critical, ${warning} ${warning === 1 ? "warning" : "warnings"}.`);
  const text = JSON.stringify(said.alerts);
  if (text !== shown) {
    shown = text;
    // What somebody is choosing from stays until it is chosen.
    keepingFocus(() => open.replaceChildren(...now.map(item)));
    over.replaceChildren(...past.map(overItem));
    overPart.hidden = past.length === 0;
  } else {
    for (const time of open.querySelectorAll("[data-since]")) write(time, lasts({ since: time.dataset.since }));
  }
}

async function read() {
  clearTimeout(pending);
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const said = await api.alerts({ state: "all", limit: 1000 }, mine.signal);
    if (mine.signal.aborted) return;
    clear("api");
    if (said === null) {
      byId("content").replaceChildren(h("div", { class: "nothing" }, h("h1", {}, "Alerts"), h("p", {}, "This dashboard has no alerts: it is older than this page.")));
      return;
    }
    show(said);
    document.body.classList.add("loaded");
  } catch (error) {
    if (mine.signal.aborted) return;
    notice("api", error, read);
  }
  pending = setTimeout(read, REFRESH);
}

document.title = "Alerts · ai-dashboard";
byId("tools").append(themeButton());
isAdmin = (await api.about().catch(() => null))?.role === "admin";
const parts = [maintenance(isAdmin), channelList(isAdmin), rules(isAdmin)];
byId("content").append(h("div", { class: "fleet-head" }, h("div", {}, h("h1", {}, "Alerts"), summary)), open, overPart, ...parts.map((part) => part.element));
await read();
footer();
await Promise.all(parts.map((part) => part.read().catch((error) => notice("parts", error))));
