// Charts of lanes: stretches of time in colour, one lane a thing. The bottleneck strip is one, the GPUs' throttling another.

import { h, write } from "./dom.js";
import { csvLines } from "./export.js";
import { instant as when, percent, span } from "./format.js";
import { colour, colourOf, meaningOf, nameOf, pill } from "./labels.js";
import { columnsOf, runAt as at } from "./runs.js";

/** Rectangles of the runs, and one row for each lane. `paint(run)` gives the colour. */
function rectangles(lanes, view, paint) {
  const { from, to } = view;
  return {
    type: "custom",
    silent: true,
    clip: true,
    data: [[from, 0]],
    renderItem: (params) => {
      const box = params.coordSys;
      const x = (ms) => box.x + (Math.max(0, Math.min(1, (ms - from) / (to - from)))) * box.width;
      const height = box.height / lanes.length;
      const inset = lanes.length === 1 ? 0 : Math.min(4, height * 0.18);
      const children = lanes.flatMap(({ runs }, row) =>
        runs
          .filter((run) => run.to > from && run.from < to)
          .map((run) => ({
            type: "rect",
            shape: { x: x(run.from), y: box.y + row * height + inset, width: Math.max(1, x(run.to) - x(run.from)), height: height - 2 * inset },
            style: { fill: paint(run) },
          })),
      );
      return { type: "group", children };
    },
  };
}

/**
 * The runs in columns of a pixel: where several share one, each has its part of the height, so that nothing is too short to be seen. `hidden` are labels
 * that were never the longest of a bucket: they lie along the bottom, as high as their share.
 */
function stacked(runs, { from, to }, hidden, silent) {
  return {
    type: "custom",
    silent: true,
    clip: true,
    data: [[from, 0]],
    renderItem: (params) => {
      const box = params.coordSys;
      // Asking for a colour each time would be most of the work.
      const colours = new Map();
      const fillOf = (label) => colours.get(label) ?? colours.set(label, colourOf(label)).get(label);
      const rect = (x, y, width, height, label) => ({ type: "rect", shape: { x, y, width, height }, style: { fill: fillOf(label) } });
      const bands = hidden.map(({ label, part }) => ({ label, height: Math.max(3, part * box.height) }));
      const above = Math.max(box.height / 2, box.height - bands.reduce((sum, { height }) => sum + height, 0));
      const children = columnsOf(runs, from, to, Math.max(1, Math.floor(box.width))).map(({ start, width, top, height, label }) =>
        rect(box.x + start, box.y + top * above, width, height * above, label),
      );
      const x = (ms) => box.x + Math.max(0, Math.min(1, (ms - from) / (to - from))) * box.width;
      let y = box.y + above;
      for (const { label, height } of bands) {
        children.push(rect(x(runs[0].from), y, x(runs.at(-1).to) - x(runs[0].from), height, label));
        y += height;
      }
      // A notch from the top where samples are missing, as deep as their share of the time and deep enough to be seen.
      for (const run of silent.filter((one) => one.to > from && one.from < to)) {
        const depth = Math.max(0.4, (run.seconds * 1000) / (run.to - run.from));
        children.push({
          type: "rect",
          shape: { x: x(run.from), y: box.y, width: Math.max(2, x(run.to) - x(run.from)), height: Math.min(1, depth) * box.height },
          style: { fill: colour("--surface") },
        });
      }
      return { type: "group", children };
    },
  };
}

/** What is said of an instant near which samples are missing. */
const silenceAt = (silent, instant) => {
  const run = at(silent, instant);
  return run === null ? "" : ` No samples for ${span(run.seconds)} of ${span((run.to - run.from) / 1000)} here.`;
};

/** The runs of a window as CSV. */
const runsAsCsv = (runs, { from, to }) =>
  csvLines([["from", "to", "label", "reason"], ...runs.filter((run) => run.to > from && run.from < to).map((run) => [new Date(run.from).toISOString(), new Date(run.to).toISOString(), run.label, run.reason])]);

/** Which label held when, and how much of the time each took. */
export function strip() {
  const bar = h("div", { class: "share-bar", "aria-hidden": "true" });
  const parts = h("ul", { class: "shares" });
  const reading = h("p", { class: "strip-reading" });
  return {
    id: "bottleneck",
    title: "Where the time went",
    level: "h2",
    wide: true,
    height: 74,
    inset: { left: 14 },

    draw(record, view) {
      return {
        series: [stacked(record.runs, view, record.hidden(view.from, view.to), record.silent)],
        empty: record.runs.length === 0 ? "No samples in this time range" : null,
        axis: { type: "value", min: 0, max: 1, interval: 1, splitLine: { show: false }, axisLabel: { show: false } },
      };
    },

    legend(chart) {
      if (!parts.isConnected) chart.legend.append(bar, parts, reading);
      const { from, to } = chart.view.drawn;
      const covered = chart.record.covered(from, to);
      const shares = chart.record.shares(from, to);
      bar.hidden = shares.length < 2;
      bar.replaceChildren(
        ...shares.map(([label, share]) => {
          const part = h("i", { "data-label": label });
          part.style.setProperty("flex-grow", String(share));
          return part;
        }),
      );
      parts.replaceChildren(
        ...shares.map(([label, share]) =>
          h("li", {}, pill(label), h("b", { class: "number" }, percent(share)), h("span", { class: "number" }, span((covered * share) / 100000))),
        ),
      );
    },

    read(chart, instant) {
      const run = instant === null ? null : at(chart.record.runs, instant);
      if (instant === null) write(reading, "");
      else if (run === null) write(reading, `${when(instant)}: no samples`);
      else write(reading, `${when(instant)}: ${nameOf(run.label)} for ${span((run.to - run.from) / 1000)}. ${run.reason ?? meaningOf(run.label)}${silenceAt(chart.record.silent, instant)}${chart.spec.pick ? " Click for the reasons." : ""}`);
      reading.hidden = instant === null;
    },

    sentence(chart, instant) {
      const run = at(chart.record.runs, instant);
      return run === null ? "no samples" : `${nameOf(run.label)}.${silenceAt(chart.record.silent, instant)}${chart.spec.pick ? " Enter opens the reasons" : ""}`;
    },

    csv: (record, view) => runsAsCsv(record.runs, view),
  };
}

/** What holds a GPU's clocks back, as the driver names it: in words, and the colour of its lane. "Idle" is none of them. */
const THROTTLES = {
  sw_power_cap: ["power cap", "--series-4"],
  hw_slowdown: ["hardware slowdown", "--label-memory-pressure"],
  sw_thermal_slowdown: ["thermal (software)", "--series-2"],
  hw_thermal_slowdown: ["thermal (hardware)", "--label-memory-pressure"],
  hw_power_brake_slowdown: ["power brake", "--series-5"],
  applications_clocks_setting: ["application clocks", "--series-0"],
  sync_boost: ["sync boost", "--series-7"],
  display_clock_setting: ["display clocks", "--series-6"],
};
const SEVERITY = ["hw_thermal_slowdown", "hw_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown", "sw_power_cap"];

/** The reasons that are worth telling, worst first. */
export const telling = (reasons) =>
  (reasons ?? [])
    .filter((reason) => reason !== "gpu_idle" && reason !== "none")
    .sort((a, b) => (SEVERITY.indexOf(a) + 1 || 99) - (SEVERITY.indexOf(b) + 1 || 99));

export const inWords = (reason) => THROTTLES[reason]?.[0] ?? reason.replaceAll("_", " ");

const lanesOf = (record) => record.gpus.map((gpu) => ({ gpu, runs: gpu.throttle.filter((run) => telling(run.reasons).length > 0) }));

/** When the GPUs' clocks were held back, and by what. */
export function throttling() {
  const listed = new Map();
  const none = h("p", { class: "legend-note" });
  return {
    id: "gpu-throttling",
    title: "GPU throttling",
    wide: true,
    height: (record) => 34 + Math.max(1, record?.gpus.length ?? 1) * (record?.gpus.length > 4 ? 19 : 26),

    absent: (record) => record.gpus.length === 0 || record.gpus.every((gpu) => gpu.throttle.length === 0),

    draw(record, view) {
      const lanes = lanesOf(record);
      return {
        series: [rectangles(lanes, view, (run) => colour(THROTTLES[telling(run.reasons)[0]]?.[1] ?? "--label-idle"))],
        empty: null,
        axis: { type: "category", inverse: true, data: lanes.map(({ gpu }) => `GPU ${gpu.gpu_index}`), splitLine: { show: true, lineStyle: { color: colour("--line") } } },
      };
    },

    legend(chart) {
      const { from, to } = chart.view.drawn;
      const present = new Set(lanesOf(chart.record).flatMap(({ runs }) => runs.filter((run) => run.to > from && run.from < to).flatMap((run) => telling(run.reasons))));
      if (!none.isConnected) chart.legend.append(none);
      for (const [reason, item] of listed) item.hidden = !present.has(reason);
      for (const reason of present) {
        if (listed.has(reason)) continue;
        const swatch = h("i");
        swatch.style.setProperty("--c", `var(${THROTTLES[reason]?.[1] ?? "--label-idle"})`);
        const item = h("span", { class: "key" }, swatch, inWords(reason));
        listed.set(reason, item);
        chart.legend.insertBefore(item, none);
      }
    },

    read(chart, instant) {
      const held = instant === null ? [] : lanesOf(chart.record).flatMap(({ gpu, runs }) => {
        const run = at(runs, instant);
        return run === null ? [] : [`GPU ${gpu.gpu_index}: ${telling(run.reasons).map(inWords).join(", ")}`];
      });
      write(none, instant === null ? "" : held.length > 0 ? held.join(" · ") : "none at this time");
    },

    csv: (record, view) =>
      runsAsCsv(record.gpus.flatMap((gpu) => gpu.throttle.map((run) => ({ ...run, label: `GPU ${gpu.gpu_index}`, reason: telling(run.reasons).join(" ") }))), view),

    sentence: (chart, instant) =>
      lanesOf(chart.record).map(({ gpu, runs }) => `GPU ${gpu.gpu_index} ${telling(at(runs, instant)?.reasons).map(inWords).join(", ") || "none"}`).join(", "),
  };
}
