// The fleet as a heatmap: a row for each GPU, below the name of its machine, the colour for its use.

import * as api from "./api.js";
import { h, write } from "./dom.js";
import { clock, percent } from "./format.js";
import { pixelsOf } from "./heat.js";

/** Minutes, and what the button says. */
const RANGES = [
  [60, "1 h"],
  [360, "6 h"],
  [1440, "24 h"],
];

/** It is read again after so long. */
const REFRESH = 60000;

/** Rows of a machine, in pixels each. */
const ROW = 12;

const SCALE = { min: 0, max: 100 };

const meanOf = (values) => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
};

/** The heatmap; `show(cards)` shows these machines in this order. */
export function fleetHeat() {
  const rows = h("div", { class: "heat-rows" });
  const note = h("p", { class: "hint" });
  const reading = h("p", { class: "heat-reading", role: "status" });
  const buttons = RANGES.map(([minutes, text]) => h("button", { type: "button", "data-minutes": minutes, "aria-pressed": "false", onclick: () => choose(minutes) }, text));
  const head = h("div", { class: "heat-head" }, h("h2", {}, "Use of each GPU"), h("div", { class: "ranges", role: "group", "aria-label": "Time" }, buttons), reading);
  const element = h("section", { class: "card fleet-heat", hidden: true }, head, rows, note);
  let minutes = 360;
  let cards = [];
  let known = null;
  let read = 0;
  let asking = null;

  function choose(chosen) {
    minutes = chosen;
    known = null;
    draw();
    ask();
  }

  async function ask() {
    asking?.abort();
    const mine = (asking = new AbortController());
    read = Date.now();
    try {
      const said = await api.fleetGpus(minutes, mine.signal);
      if (mine.signal.aborted) return;
      known = said;
      draw();
    } catch (error) {
      if (mine.signal.aborted) return;
      write(note, `${error.message} ${error.advice ?? ""}`);
      note.hidden = false;
    }
  }

  /** What is below the pointer. */
  function point(event, name, gpus) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = Math.max(0, Math.min(known.buckets - 1, Math.floor(((event.clientX - box.left) / box.width) * known.buckets)));
    const gpu = gpus[Math.max(0, Math.min(gpus.length - 1, Math.floor(((event.clientY - box.top) / box.height) * gpus.length)))];
    write(reading, `${name}, GPU ${gpu.gpu_index}, ${clock(known.start + at * known.step_seconds * 1000, false)}: ${percent(gpu.use[at])}`);
  }

  function machine(card, gpus) {
    const { slug, name } = card.server;
    const canvas = pixelsOf(gpus.map(({ use }) => use), SCALE, "--series-0");
    const mean = meanOf(gpus.flatMap(({ use }) => use));
    canvas.style.setProperty("height", `${gpus.length * ROW}px`);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${gpus.length} GPUs, used ${percent(mean)} on average`);
    canvas.addEventListener("pointermove", (event) => point(event, name || slug, gpus));
    canvas.addEventListener("pointerleave", () => write(reading, ""));
    return h("div", { class: "heat-row", "data-slug": slug }, h("a", { href: `/servers/${encodeURIComponent(slug)}` }, name || slug), canvas, h("b", { class: "number" }, percent(mean)));
  }

  function draw() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.minutes) === minutes));
    if (known === null) {
      write(note, "Loading …");
      note.hidden = false;
      return;
    }
    const of = Map.groupBy(known.gpus, ({ server }) => server);
    const shown = cards.filter((card) => of.has(card.server.slug));
    rows.replaceChildren(...shown.map((card) => machine(card, of.get(card.server.slug).sort((a, b) => a.gpu_index - b.gpu_index))));
    write(note, shown.length === 0 ? "No GPU was used or seen in this time." : known.gpus_left_out > 0 ? `${known.gpus_left_out} GPUs more are not shown.` : "");
    note.hidden = note.textContent === "";
  }

  setInterval(() => {
    if (!element.hidden && Date.now() - read > REFRESH && document.visibilityState === "visible") ask();
  }, 5000);
  addEventListener("themechange", () => {
    if (!element.hidden) draw();
  });
  return {
    element,
    show(wanted) {
      cards = wanted;
      if (Date.now() - read > REFRESH) ask();
      draw();
    },
  };
}
