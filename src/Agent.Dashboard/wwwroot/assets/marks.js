// Marks of events on a chart: a thin line each, over the plot. All charts show the same ones.

import { h } from "./dom.js";

/** Draws `marks`, [{ at, tone, text }], that lie in the window over the plot of a chart. */
export function mark(chart, marks) {
  const { from, to } = chart.view.drawn;
  chart.marks ??= chart.plot.appendChild(h("div", { class: "marks", "aria-hidden": "true" }));
  chart.marks.replaceChildren(
    ...marks
      .filter(({ at }) => at >= from && at <= to)
      .map(({ at, tone, text }) => {
        const line = h("i", { "data-tone": tone, title: text });
        line.style.setProperty("transform", `translateX(${chart.pixelOf(at)}px)`);
        return line;
      }),
  );
}
