// What happened to a machine: a list under its charts, with filters, and marks on every chart.

import { h, write } from "./dom.js";
import * as api from "./api.js";
import { instant } from "./format.js";

/** [kind, what it is called, how it is drawn] */
const KINDS = [
  ["reboot", "Restart", "bad"],
  ["agent-start", "Agent started", "plain"],
  ["gpu-lost", "GPU lost", "bad"],
  ["gpu-back", "GPU back", "good"],
  ["xid", "XID", "bad"],
  ["throttle", "GPU slowed", "warn"],
  ["throttle-end", "GPU free again", "good"],
  ["job-begin", "Job began", "plain"],
  ["job-end", "Job ended", "plain"],
  ["verdict", "Verdict", "plain"],
  ["annotation", "Note", "note"],
  ["alert", "Alert", "bad"],
];
const NAMES = new Map(KINDS.map(([kind, name]) => [kind, name]));
const TONES = new Map(KINDS.map(([kind, , tone]) => [kind, tone]));
/** What is so frequent that the list would be of nothing else; the strip shows verdicts. */
const HIDDEN = new Set(["verdict"]);
/** The list shows so many, the charts so many lines. */
const MOST_LISTED = 200;
const MOST_MARKS = 120;

/** The events of `slug` in the window: `element` for the page, `read(view)` asks for them, `marks` are to be drawn, `onChange` says when there are others. */
export function machineEvents(slug, view) {
  const list = h("ol", { class: "events" });
  const none = h("p", { class: "hint" });
  const filters = h("div", { class: "filters", role: "group", "aria-label": "Kinds of events" });
  const element = h("section", { class: "part", hidden: true }, h("h2", {}, "What happened"), filters, list, none);
  const off = new Set(HIDDEN);
  let events = [];
  let asking = null;
  let changed = () => {};
  let readAt = 0;

  const shown = () => events.filter((event) => !off.has(event.kind));

  const item = (event) => {
    const at = Date.parse(event.at);
    return h(
      "li",
      { "data-tone": TONES.get(event.kind) ?? "plain" },
      h("button", { type: "button", class: "event-time number", title: "Show the time around it", onclick: () => view.show(at - 900000, at + 900000) }, instant(at)),
      h("b", {}, NAMES.get(event.kind) ?? event.kind),
      h("span", {}, event.text, event.author ? h("small", {}, ` by ${event.author}`) : null),
    );
  };

  function show() {
    const counts = new Map();
    for (const event of events) counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
    const buttons = KINDS.filter(([kind]) => counts.has(kind)).map(([kind, name]) =>
      h(
        "button",
        { class: "filter", type: "button", "data-show": kind, "aria-pressed": String(!off.has(kind)), onclick: () => (off.has(kind) ? off.delete(kind) : off.add(kind), show(), focusOn(kind)) },
        name,
        h("span", { class: "number" }, String(counts.get(kind))),
      ),
    );
    filters.replaceChildren(...buttons);
    const listed = shown();
    list.replaceChildren(...listed.slice(0, MOST_LISTED).map(item));
    write(none, listed.length === 0 ? "Nothing of these kinds." : listed.length > MOST_LISTED ? `${listed.length - MOST_LISTED} older ones are not listed: choose a shorter time.` : "");
    none.hidden = none.textContent === "";
    element.hidden = events.length === 0;
    changed();
  }

  const focusOn = (kind) => filters.querySelector(`[data-show="${kind}"]`)?.focus();

  return {
    element,
    /** Asks for the events of the window. */
    async read() {
      asking?.abort();
      const mine = (asking = new AbortController());
      readAt = Date.now();
      const { minutes, to } = view.request;
      const said = await api.timeline(slug, minutes, to, mine.signal).catch(() => null);
      if (mine.signal.aborted || said === null) return;
      events = said.events;
      show();
    },
    /** Milliseconds since they were asked for. */
    get age() {
      return Date.now() - readAt;
    },
    /** What the charts mark: instants with a tone and words, the newest first. */
    get marks() {
      return shown()
        .slice(0, MOST_MARKS)
        .map((event) => ({ at: Date.parse(event.at), tone: TONES.get(event.kind) ?? "plain", text: `${NAMES.get(event.kind) ?? event.kind}: ${event.text}` }));
    },
    onChange(listener) {
      changed = listener;
    },
  };
}
