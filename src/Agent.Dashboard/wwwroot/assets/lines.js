// Charts of lines: one line a series, with the band between the extremes of each bucket, so that peaks stay visible.

import { h, write } from "./dom.js";
import { colour } from "./labels.js";
import { rounded } from "./chart.js";

/** The points of a line, broken where samples are missing. */
function points(record, values) {
  const { time, gap } = record;
  const made = [];
  for (let at = 0; at < time.length; at += 1) {
    if (values[at] === null && record.isSparse && made.length > 0 && time[at] - made.at(-1)[0] < gap) continue;
    if (at > 0 && time[at] - time[at - 1] > gap) made.push([time[at - 1] + 1, null]);
    made.push([time[at], values[at]]);
  }
  return made;
}

/** The stretches in which both extremes are known, as pairs of places. */
function stretches(record, { min, max }) {
  const { time, gap } = record;
  const found = [];
  let start = -1;
  for (let at = 0; at <= time.length; at += 1) {
    const broken = at === time.length || min[at] === null || max[at] === null || (start >= 0 && at > start && time[at] - time[at - 1] > gap);
    if (broken && start >= 0) {
      if (at - start > 1) found.push([start, at]);
      start = -1;
    }
    if (start < 0 && at < time.length && min[at] !== null && max[at] !== null) start = at;
  }
  return found;
}

/** One polygon a stretch, along the maxima and back along the minima. */
function band(record, column, fill, view, axis, opacity) {
  const { from, to } = view;
  return {
    type: "custom",
    silent: true,
    clip: true,
    z: 1,
    data: [[from, axis.min]],
    renderItem: (params) => {
      const box = params.coordSys;
      const x = (at) => box.x + ((record.time[at] - from) / (to - from)) * box.width;
      const y = (value) => box.y + box.height * (1 - (value - axis.min) / (axis.max - axis.min));
      const polygon = ([start, end]) => {
        const outline = [];
        for (let at = start; at < end; at += 1) outline.push([x(at), y(column.max[at])]);
        for (let at = end - 1; at >= start; at -= 1) outline.push([x(at), y(column.min[at])]);
        return { type: "polygon", shape: { points: outline }, style: { fill, opacity } };
      };
      return { type: "group", children: stretches(record, column).map(polygon) };
    },
  };
}

function line(record, series, stroke, area) {
  return {
    type: "line",
    silent: true,
    showSymbol: false,
    connectNulls: false,
    clip: true,
    z: 2,
    data: points(record, series.column.mean),
    lineStyle: { width: record.bucketed ? 1.3 : 1.6, color: stroke, type: series.dashed ? [4, 3] : "solid", opacity: series.dashed ? 0.85 : 1 },
    itemStyle: { color: stroke },
    areaStyle: area ? { color: stroke, opacity: 0.12 } : undefined,
  };
}

/** The lowest and the highest value that is drawn. */
function extremes(columns) {
  let [low, high] = [Infinity, -Infinity];
  for (const column of columns) {
    for (const values of column.min ? [column.min, column.max] : [column.mean]) {
      for (const value of values) {
        if (value === null) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
  }
  return [low, high];
}

function axisOf(spec, columns) {
  if (spec.percent) return { min: 0, max: 100, interval: 25 };
  const [low, high] = extremes(columns);
  if (spec.fit && Number.isFinite(low)) {
    const min = Math.max(0, Math.floor((low - 4) / 10) * 10);
    const { interval } = rounded(Math.max(10, high + 2 - min));
    return { min, max: min + interval * 4, interval };
  }
  return { min: 0, ...rounded(Math.max(spec.least ?? 0, high * 1.04)) };
}

/**
 * A chart's description: `sources(record)` gives [{ key, name, column, paint (a custom property), dashed?, off? }], `format` writes
 * a value, `gpus` leaves the chart out without GPUs, `optional` without values ("zero": with nothing but zeros), `percent` fixes the axis to 0–100, `fit` lets it begin above 0, `least` keeps it from magnifying noise.
 */
export function lines(spec) {
  const hidden = new Map();
  const isHidden = (series) => hidden.get(series.key) ?? series.off ?? false;
  const buttons = new Map();

  const at = (record, series, index) => (index < 0 ? null : series.column.mean[index]);

  return {
    height: 190,
    ...spec,

    /** What is saved as CSV. */
    columns: (record) => spec.sources(record),

    absent: (record) =>
      (spec.gpus === true && record.gpus.length === 0 && record.time.length > 0) ||
      (spec.optional !== undefined && spec.sources(record).every(({ column }) => (column.max ?? column.mean).every((value) => value === null || (spec.optional === "zero" && value === 0)))),

    draw(record, view) {
      const shown = spec.sources(record).filter((series) => !isHidden(series));
      const columns = shown.map((series) => series.column);
      const axis = axisOf(spec, columns);
      const none = columns.every((column) => column.mean.every((value) => value === null));
      const series = shown.flatMap((one) => {
        const stroke = colour(one.paint);
        const drawn = [line(record, one, stroke, shown.length <= 2 && !one.dashed && !one.column.max)];
        return one.column.max ? [band(record, one.column, stroke, view, axis, shown.length > 3 ? 0.13 : 0.22), ...drawn] : drawn;
      });
      return {
        series,
        empty: none ? (record.time.length === 0 ? "No samples in this time range" : (spec.missing ?? "Not reported by this machine")) : null,
        axis: { type: "value", ...axis, axisLabel: { formatter: (value) => spec.format(value) } },
      };
    },

    legend(chart) {
      const sources = spec.sources(chart.record);
      for (const [key, button] of buttons) {
        if (!sources.some((series) => series.key === key)) {
          button.remove();
          buttons.delete(key);
        }
      }
      for (const series of sources) {
        if (buttons.has(series.key)) continue;
        const swatch = h("i", { class: series.dashed ? "dashed" : "" });
        swatch.style.setProperty("--c", `var(${series.paint})`);
        const button = h("button", { type: "button", title: series.title, "aria-pressed": String(!isHidden(series)) }, swatch, h("span", {}, series.name), h("b", {}, ""));
        button.addEventListener("click", () => {
          hidden.set(series.key, !isHidden(series));
          button.setAttribute("aria-pressed", String(!isHidden(series)));
          chart.redraw();
        });
        buttons.set(series.key, button);
        chart.legend.append(button);
      }
    },

    /** Writes the values at an instant into the legend, or the newest ones. */
    read(chart, instant) {
      const { record } = chart;
      const index = instant === null ? record.time.length - 1 : record.nearest(instant);
      for (const series of spec.sources(record)) {
        const button = buttons.get(series.key);
        if (button) write(button.lastElementChild, spec.format(at(record, series, index)));
      }
    },

    sentence(chart, instant) {
      const index = chart.record.nearest(instant);
      const shown = spec.sources(chart.record).filter((series) => !isHidden(series));
      return shown.map((series) => `${series.name} ${spec.format(at(chart.record, series, index))}`).join(", ");
    },
  };
}
