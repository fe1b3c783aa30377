// Which stretch of time the charts show: ranges, back and forward, closer and wider, and back to the present.

import { h, icon, write } from "./dom.js";
import { clock, instant, span } from "./format.js";
import { exactWindow } from "./exact.js";
import { RANGES } from "./view.js";

const tool = (name, keys, action, ...paths) =>
  h("button", { class: "icon-button", type: "button", "aria-label": name, title: `${name} (${keys})`, onclick: action }, icon(...paths));

/** Copies the address of what is shown, with its times. */
function copyLink(view) {
  const said = h("span", { class: "unseen", role: "status" });
  const button = tool("Copy a link to this view", "times included", copy, "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.7-5.7l-1.5 1.5", "M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.7 5.7l1.5-1.5");
  async function copy() {
    try {
      await navigator.clipboard.writeText(view.link);
      write(said, "Copied");
      button.classList.add("copied");
    } catch {
      // Without a clipboard the address itself says it, for the address bar to be copied.
      history.replaceState(null, "", view.link);
      write(said, "The address now has the times in it");
    }
    setTimeout(() => {
      write(said, "");
      button.classList.remove("copied");
    }, 2000);
  }
  return h("span", { class: "copy-link" }, button, said);
}

/** Who rests on a button for so many milliseconds is about to press it; who only passes does not. */
const REST = 40;

/** `expect` is told which range, in minutes, is likely to be chosen next. */
export function toolbar(view, expect = null) {
  let resting = 0;
  const leave = () => clearTimeout(resting);
  const rest = (minutes) => {
    leave();
    if (expect !== null && !(view.follows && view.range === minutes)) resting = setTimeout(expect, REST, minutes);
  };
  const ranges = RANGES.map(([minutes, text, words]) =>
    h(
      "button",
      {
        type: "button",
        title: `Show ${words}`,
        "data-range": String(minutes),
        onclick: () => {
          leave();
          view.follow(minutes);
        },
        onpointerenter: () => rest(minutes),
        onfocus: () => rest(minutes),
        onpointerleave: leave,
        onblur: leave,
      },
      text,
    ),
  );
  const said = h("p", { class: "window number" });
  const back = view.whole === null ? "Back to now" : "Whole run";
  const present = h("button", { class: "button", type: "button", onclick: () => view.follow(view.range) }, back);
  const forward = tool("Later", "Page Down", () => view.pan(0.5), "M9 5l7 7-7 7");
  const element = h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Time" },
    view.whole === null ? h("div", { class: "ranges", role: "group", "aria-label": "Show the last" }, ranges) : null,
    said,
    h(
      "div",
      { class: "steps-in-time" },
      present,
      exactWindow(view),
      copyLink(view),
      tool("Earlier", "Page Up", () => view.pan(-0.5), "M15 5l-7 7 7 7"),
      forward,
      tool("Closer", "+", () => view.zoom(0.5), "M12 5v14", "M5 12h14"),
      tool("Wider", "−", () => view.zoom(2), "M5 12h14"),
    ),
  );
  const show = () => {
    for (const button of ranges) button.setAttribute("aria-pressed", String(view.follows && Number(button.dataset.range) === view.range));
    present.hidden = view.isUsual;
    forward.disabled = view.follows;
    const width = (view.to - view.from) / 1000;
    write(said, view.follows ? "" : `${instant(view.from)} – ${width > 86400 ? instant(view.to) : clock(view.to)} (${span(width)})`);
  };
  view.onChange(show);
  show();
  return element;
}
