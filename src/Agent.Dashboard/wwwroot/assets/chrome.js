// What every page has around its content: the link's state, the theme, logging out, notices, the footer.

import { byId, h, icon, write } from "./dom.js";
import { about, alerts } from "./api.js";
import { instant, zone } from "./format.js";

const SUN = icon("M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2v2", "M12 20v2", "M4.9 4.9l1.4 1.4", "M17.7 17.7l1.4 1.4", "M2 12h2", "M20 12h2", "M4.9 19.1l1.4-1.4", "M17.7 6.3l1.4-1.4");
const MOON = icon("M20 14.5A8.5 8.5 0 1 1 9.5 4a6.8 6.8 0 0 0 10.5 10.5z");
const WARNING = icon("M12 9v4", "M12 17h.01", "M10.3 3.9 2.4 17.6A2 2 0 0 0 4.1 20.6h15.8a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0z");

const isDark = () => document.documentElement.dataset.theme === "dark";

export function themeButton() {
  const button = h("button", { class: "icon-button", type: "button" });
  const show = () => {
    button.replaceChildren(isDark() ? SUN : MOON);
    button.setAttribute("aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", document.documentElement.dataset.theme);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    dispatchEvent(new Event("themechange"));
  });
  addEventListener("themechange", show);
  show();
  return button;
}

const SAID = { live: "Live", connecting: "Connecting", lost: "Connection lost" };

/** The dot that says whether samples arrive by themselves. */
export function linkState() {
  const text = h("span", {}, SAID.connecting);
  const element = h("span", { class: "link-state", "data-state": "connecting", role: "status" }, h("span", { class: "dot" }), text);
  return {
    element,
    set(state) {
      element.dataset.state = state;
      write(text, SAID[state]);
    },
  };
}

/** A notice above the content; the same key replaces what it said before. */
export function notice(key, error, retry = null) {
  const place = byId("notices");
  clear(key);
  place.append(
    h(
      "div",
      { class: "notice", "data-key": key },
      WARNING.cloneNode(true),
      h("div", {}, h("strong", {}, error.message), error.advice ? h("p", {}, error.advice) : null),
      h("span", { class: "spring" }),
      retry && h("button", { class: "button", type: "button", onclick: retry }, "Try again"),
    ),
  );
}

export function clear(key) {
  byId("notices").querySelector(`[data-key="${key}"]`)?.remove();
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

let toldStorage = "";
let isToldLive = false;

/** Says since when nothing is stored and why, and takes it back when something is. Said again only when it differs. */
export function storage(said) {
  const key = said.fault ? `${said.since} ${said.fault}` : "";
  if (key === toldStorage) return;
  toldStorage = key;
  if (key === "") {
    clear("storage");
    return;
  }
  const since = instant(Date.parse(said.since));
  if (said.fault === "cluster") {
    notice("storage", { message: `No figures since ${since}.`, advice: `${sentence(said.reason)} ${sentence(said.remedy)}` });
    return;
  }
  if (said.fault === "partial") {
    notice("storage", { message: `Figures may be missing since ${since}.`, advice: `${sentence(said.reason)} ${sentence(said.remedy)}` });
    return;
  }
  if (said.fault === "state") {
    notice("storage", { message: `Nobody can log in and nothing can be changed since ${since}.`, advice: `${sentence(said.reason)} ${sentence(said.remedy)}` });
    return;
  }
  const isLost = !said.stores && said.fault !== "damaged";
  notice("storage", {
    message: isLost ? `Nothing has been stored since ${since}.` : `The database is damaged; found at ${since}.`,
    advice: `${sentence(said.reason)} ${sentence(said.remedy)}${isLost ? " Agents keep their samples and send them again." : ""}`,
  });
}

/** The same from the stream of events, whose word is newer than that of any answer which was asked for beside it. */
export function storageNow(said) {
  isToldLive = true;
  storage(said);
}

/** How often the number of open alerts is read again. */
const COUNTED = 30000;

/** Writes how many alerts are open beside the link to them; older dashboards have none. */
export function countAlerts(open) {
  const link = byId("alerts-link");
  const all = open.critical + open.warning;
  if (all === 0) link.replaceChildren("Alerts");
  else
    link.replaceChildren(
      "Alerts ",
      h("span", { class: "count number", "data-level": open.critical > 0 ? "critical" : "warning" }, String(all), h("span", { class: "unseen" }, " open")),
    );
}

async function watchAlerts() {
  if (document.visibilityState !== "hidden") {
    const said = await alerts({ limit: 0 }).catch(() => undefined);
    if (said === null) {
      byId("alerts-link").hidden = true;
      return;
    }
    if (said) countAlerts(said.open);
  }
  setTimeout(watchAlerts, COUNTED);
}

/** The version and the viewer's zone at the foot of the page, and a way out for those who logged in. */
export async function footer() {
  const said = await about().catch(() => null);
  if (said === null) return null;
  if (!isToldLive) storage(said.storage);
  watchAlerts();
  byId("footer").replaceChildren(
    h("span", {}, `${said.name} ${said.version}`),
    h("span", {}, `Times are ${zone()}, your time zone`),
    h("span", {}, `Kept for ${said.retention_days} days`),
  );
  if (said.login) {
    const who = said.user ? { title: `Logged in as ${said.user}, ${said.role}` } : {};
    byId("tools").append(h("form", { method: "post", action: "/logout" }, h("button", { class: "button", type: "submit", ...who }, "Log out")));
  }
  return said;
}
