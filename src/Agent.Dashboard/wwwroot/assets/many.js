// Charts of many lines: up to four with their bands, up to eight without, and beyond that the spread of all: least, quartiles and greatest.

import { h } from "./dom.js";

/** With more lines than this their bands would cover each other. */
export const MOST_BANDS = 4;

/** More lines than this are not told apart. */
export const MOST_LINES = 8;

const WAYS = [
  ["spread", "Spread", "The least, the quartiles, the median and the greatest of all"],
  ["heat", "Heatmap", "A row for each"],
  ["lines", "Lines", "A line for each"],
];

/** The value that this part of sorted ones lies below. */
function quantile(sorted, part) {
  const place = (sorted.length - 1) * part;
  const below = Math.floor(place);
  const next = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (next - sorted[below]) * (place - below);
}

/** What all columns together did: { whole, middle, median }, two bands and a line. Extremes of buckets count, so that peaks stay. */
export function spreadOf(columns, length) {
  const whole = { min: [], max: [] };
  const middle = { min: [], max: [] };
  const median = { mean: [] };
  for (let at = 0; at < length; at += 1) {
    const known = columns.filter(({ mean }) => mean[at] !== null);
    const sorted = Float64Array.from(known, ({ mean }) => mean[at]).sort();
    const none = sorted.length === 0;
    whole.min.push(none ? null : Math.min(sorted[0], ...known.map(({ min, mean }) => min?.[at] ?? mean[at])));
    whole.max.push(none ? null : Math.max(sorted.at(-1), ...known.map(({ max, mean }) => max?.[at] ?? mean[at])));
    middle.min.push(none ? null : quantile(sorted, 0.25));
    middle.max.push(none ? null : quantile(sorted, 0.75));
    median.mean.push(none ? null : quantile(sorted, 0.5));
  }
  return { whole, middle, median };
}

/** Those of several devices: a line for a limit is not one of many. */
export const deviceLines = (sources) => sources.filter(({ figure }) => figure !== undefined);

/** The series of each figure: what is received is not mixed with what is sent. */
export function figuresOf(sources) {
  const groups = new Map();
  for (const series of sources) {
    const figure = series.figure ?? "";
    groups.set(figure, [...(groups.get(figure) ?? []), series]);
  }
  return [...groups.values()];
}

/** How a chart draws its lines, and the buttons that choose another way; they are shown where there are many. */
export function ways() {
  let chosen = null;
  const buttons = WAYS.map(([way, text, title]) => h("button", { type: "button", "data-way": way, title }, text));
  const element = h("div", { class: "ways", role: "group", "aria-label": "How lines are drawn" }, buttons);
  const of = (count) => (count <= MOST_LINES ? "lines" : (chosen ?? "spread"));
  return {
    of,

    /** Shows the buttons at the head of a chart of so many lines. */
    show(chart, count) {
      if (!element.isConnected) {
        chart.element.querySelector(".chart-menu").before(element);
        for (const button of buttons) {
          button.addEventListener("click", () => {
            chosen = button.dataset.way;
            chart.update(chart.record);
          });
        }
      }
      element.hidden = count <= MOST_LINES;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.way === of(count)));
    },
  };
}
