// The witnesses of a verdict: figures with limit and unit, the chart that shows each, and what would change the verdict.

import { h } from "./dom.js";
import { figure } from "./format.js";

/** Which chart shows a witness; the first that matches. */
const CHARTS = [
  [/NVLink|PCIe/, ["nvlink", "pcie", "gpu-utilisation"]],
  [/GPU power/, ["gpu-power"]],
  [/GPU temperature/, ["gpu-temperature"]],
  [/time slowed|reasons to slow|clock/, ["gpu-throttling", "gpu-clocks", "gpu-utilisation"]],
  [/GPU|SM activity|device memory bandwidth|rank/, ["gpu-utilisation"]],
  [/stall|wait for a CPU/, ["pressure", "cpu"]],
  [/CPUs that wait for I\/O/, ["cpu"]],
  [/swap|memory|evicted|available|faults/, ["memory"]],
  [/link|of its speed|received|over the network|network$/, ["network"]],
  [/^bytes |bytes written/, ["disk-throughput"]],
  [/requests at|operations/, ["disk-operations"]],
  [/busy$|latency|blocked|disk|network storage/, ["disk-utilisation", "disk-throughput"]],
  [/CPU|core|loader|thread|throttled periods|hypervisor|allowance/, ["cpu"]],
];

/** Loaders and threads are no disks, whatever they are busy with. */
const PROGRAM = /loader|thread/;

/** The ids of charts that may show a witness, the best first. */
export function chartsOf(name) {
  if (PROGRAM.test(name) && !/blocked|GPU/.test(name)) return ["cpu"];
  return CHARTS.find(([pattern]) => pattern.test(name))?.[1] ?? [];
}

/** "busiest loader thread below 90%": the other side of the limit. */
export const wouldChange = ({ name, value, limit, unit }) => `${name} ${value >= limit ? "below" : "above"} ${figure(limit, unit)}`;

/** A table of witnesses; `go(id)` shows a chart and is offered where `has(id)`. */
export function witnesses(caption, all, { has, go }) {
  const row = (one) => {
    const chart = chartsOf(one.name).find(has);
    const isOver = one.limit !== null && one.limit !== undefined;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, chart ? h("button", { type: "button", class: "to-chart", title: "Show the chart", onclick: () => go(chart) }, one.name) : one.name),
      h("td", { class: "number" }, figure(one.value, one.unit)),
      h("td", { class: "number" }, isOver ? figure(one.limit, one.unit) : "–"),
    );
  };
  return h(
    "table",
    { class: "witnesses" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Measured"), h("th", { scope: "col", class: "number" }, "Figure"), h("th", { scope: "col", class: "number" }, "Limit"))),
    h("tbody", {}, all.map(row)),
  );
}
