// Charts of lines: one line a series, with the band between the extremes of each bucket, so that peaks stay visible.

import { h, write } from "./dom.js";
import { colour } from "./labels.js";
import { rounded } from "./chart.js";
import { heat, heatAxis, heatHeight } from "./heat.js";
import { deviceLines, figuresOf, MOST_BANDS, spreadOf, ways } from "./many.js";

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

function line(record, series, stroke, area, opacity = 1) {
  return {
    type: "line",
    silent: true,
    showSymbol: false,
    connectNulls: false,
    clip: true,
    z: 2,
    data: points(record, series.column.mean),
    lineStyle: { width: record.bucketed ? 1.3 : 1.6, color: stroke, type: series.dashed ? [4, 3] : "solid", opacity: opacity * (series.dashed ? 0.85 : 1) },
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
  const way = ways();
  /** The series that the pointer is on in the legend. */
  let isolated = null;

  /** The lines of what is shown; all but the isolated one are faint. */
  function drawLines(record, shown, view, axis) {
    return shown.flatMap((one) => {
      const stroke = colour(one.paint);
      const isAlone = one.key === isolated;
      const opacity = isolated === null || isAlone ? 1 : 0.16;
      const drawn = [line(record, one, stroke, isolated === null && shown.length <= 2 && !one.dashed && !one.column.max, opacity)];
      if (!one.column.max || !(isAlone || (isolated === null && shown.length <= MOST_BANDS))) return drawn;
      return [band(record, one.column, stroke, view, axis, shown.length > 3 ? 0.13 : 0.22), ...drawn];
    });
  }

  /** The spread of each figure, and the isolated series over it. */
  function drawSpread(record, shown, view, axis) {
    const spreads = figuresOf(shown).flatMap((group, index) => {
      const stroke = colour(`--series-${index % 8}`);
      const { whole, middle, median } = spreadOf(group.map(({ column }) => column), record.time.length);
      const dashed = index > 0;
      return [
        band(record, whole, stroke, view, axis, 0.14),
        band(record, middle, stroke, view, axis, 0.24),
        line(record, { column: median, dashed }, stroke, false, isolated === null ? 1 : 0.4),
      ];
    });
    const alone = shown.filter(({ key }) => key === isolated).map((one) => line(record, one, colour("--ink"), false));
    return [...spreads, ...alone];
  }

  const shownOf = (record) => spec.sources(record).filter((series) => !isHidden(series));

  const at = (record, series, index) => (index < 0 ? null : series.column.mean[index]);

  return {
    ...spec,
    height: (record) => (record !== null && way.of(deviceLines(shownOf(record)).length) === "heat" ? heatHeight(deviceLines(shownOf(record)).length) : 190),

    /** What is saved as CSV. */
    columns: (record) => spec.sources(record),

    absent: (record) =>
      (spec.gpus === true && record.gpus.length === 0 && record.time.length > 0) ||
      (spec.optional !== undefined && spec.sources(record).every(({ column }) => (column.max ?? column.mean).every((value) => value === null || (spec.optional === "zero" && value === 0)))),

    draw(record, view) {
      const shown = shownOf(record);
      const columns = shown.map((series) => series.column);
      const axis = axisOf(spec, columns);
      const none = columns.every((column) => column.mean.every((value) => value === null));
      const empty = none ? (record.time.length === 0 ? "No samples in this time range" : (spec.missing ?? "Not reported by this machine")) : null;
      const rows = deviceLines(shown);
      const how = way.of(rows.length);
      if (how === "heat") return { series: [heat(record, rows.map(({ column }) => column), view, axis, "--series-0")], empty, axis: heatAxis(rows.map(({ name }) => name)) };
      const drawn = how === "spread" ? drawSpread : drawLines;
      return { series: drawn(record, shown, view, axis), empty, axis: { type: "value", ...axis, axisLabel: { formatter: (value) => spec.format(value) } } };
    },

    legend(chart) {
      const sources = spec.sources(chart.record);
      way.show(chart, deviceLines(shownOf(chart.record)).length);
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
          chart.update(chart.record);
        });
        const isolate = (key) => () => {
          if (isolated === key || chart.record === null || spec.sources(chart.record).length < 2) return;
          isolated = key;
          button.classList.toggle("alone", key !== null);
          chart.redraw();
        };
        button.addEventListener("pointerenter", isolate(series.key));
        button.addEventListener("pointerleave", isolate(null));
        button.addEventListener("focus", () => button.matches(":focus-visible") && isolate(series.key)());
        button.addEventListener("blur", isolate(null));
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
      return shownOf(chart.record).map((series) => `${series.name} ${spec.format(at(chart.record, series, index))}`).join(", ");
    },
  };
}
