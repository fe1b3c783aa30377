// Which stretch of time the charts show: ranges, back and forward, closer and wider, and back to the present.

import { h, icon, write } from "./dom.js";
import { clock, instant, span } from "./format.js";
import { RANGES } from "./view.js";

const tool = (name, keys, action, ...paths) =>
  h("button", { class: "icon-button", type: "button", "aria-label": name, title: `${name} (${keys})`, onclick: action }, icon(...paths));

export function toolbar(view) {
  const ranges = RANGES.map(([minutes, text, words]) =>
    h("button", { type: "button", title: `Show ${words}`, "data-range": String(minutes), onclick: () => view.follow(minutes) }, text),
  );
  const said = h("p", { class: "window number" });
  const present = h("button", { class: "button", type: "button", onclick: () => view.follow(view.range) }, "Back to now");
  const forward = tool("Later", "Page Down", () => view.pan(0.5), "M9 5l7 7-7 7");
  const element = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Time" },
    h("div", { class: "ranges", role: "group", "aria-label": "Show the last" }, ranges),
    said,
    h(
      "div",
      { class: "steps-in-time" },
      present,
      tool("Earlier", "Page Up", () => view.pan(-0.5), "M15 5l-7 7 7 7"),
      forward,
      tool("Closer", "+", () => view.zoom(0.5), "M12 5v14", "M5 12h14"),
      tool("Wider", "−", () => view.zoom(2), "M5 12h14"),
    ),
  );
  const show = () => {
    for (const button of ranges) button.setAttribute("aria-pressed", String(view.follows && Number(button.dataset.range) === view.range));
    present.hidden = view.follows;
    forward.disabled = view.follows;
    const width = (view.to - view.from) / 1000;
    write(said, view.follows ? "" : `${instant(view.from)} – ${width > 86400 ? instant(view.to) : clock(view.to)} (${span(width)})`);
  };
  view.onChange(show);
  show();
  return element;
}
