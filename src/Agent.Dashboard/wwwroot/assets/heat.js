// Heat strips: a row for each device, time to the right, the colour for the value. For devices that are too many for lines.

import { h, write } from "./dom.js";
import { instant as when } from "./format.js";
import { colour } from "./labels.js";

const STEPS = 64;

/** So many characters of a name stand at the axis, which is as wide for all charts. */
const LONGEST_NAME = 11;

/** The red, green and blue of a custom property. */
function channels(name) {
  const canvas = h("canvas", { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.fillStyle = colour(name);
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}

/** The steps from nothing to all, as 32 bits of a pixel each: the more, the less of what is behind shows through. */
function palette(name) {
  const [red, green, blue] = channels(name);
  const pixel = new Uint8ClampedArray(4);
  const bits = new Uint32Array(pixel.buffer);
  return Array.from({ length: STEPS }, (_, step) => {
    pixel.set([red, green, blue, 20 + (235 * step) / (STEPS - 1)]);
    return bits[0];
  });
}

const stepOf = (value, min, max) => Math.max(0, Math.min(STEPS - 1, Math.round(((value - min) / (max - min || 1)) * (STEPS - 1))));

/** The place on the axis that each column of pixels shows; -1 for none. */
function places(record, { from, to }, width) {
  return Array.from({ length: width }, (_, x) => record.nearest(from + ((x + 0.5) / width) * (to - from)));
}

/** The picture of rows of values, [column], in so many pixels. */
function picture(record, rows, view, { min, max }, paint, width, height) {
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = palette(paint);
  const at = places(record, view, width);
  const space = rows.length > 1 && height / rows.length >= 6 ? 1 : 0;
  rows.forEach((column, row) => {
    const top = Math.round((row * height) / rows.length);
    const end = Math.max(top + 1, Math.round(((row + 1) * height) / rows.length) - space);
    for (let x = 0; x < width; x += 1) {
      const value = at[x] < 0 ? null : column.mean[at[x]];
      if (value === null) continue;
      const pixel = colours[stepOf(value, min, max)];
      for (let y = top; y < end; y += 1) pixels[y * width + x] = pixel;
    }
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Rows of values in a pixel each, to be stretched by the page. */
export function pixelsOf(rows, { min, max }, paint) {
  const width = Math.max(1, rows[0]?.length ?? 1);
  const canvas = h("canvas", { width, height: Math.max(1, rows.length) });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, Math.max(1, rows.length));
  const pixels = new Uint32Array(image.data.buffer);
  const colours = palette(paint);
  rows.forEach((values, row) => {
    values.forEach((value, at) => {
      if (value !== null) pixels[row * width + at] = colours[stepOf(value, min, max)];
    });
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The strip as a series of a chart. `rows` are columns, from the top. */
export function heat(record, rows, view, scale, paint) {
  return {
    type: "custom",
    silent: true,
    clip: true,
    data: [[view.from, 0]],
    renderItem: (params) => {
      const box = params.coordSys;
      const [width, height] = [Math.max(1, Math.round(box.width)), Math.max(1, Math.round(box.height))];
      return { type: "image", style: { image: picture(record, rows, view, scale, paint, width, height), x: box.x, y: box.y, width: box.width, height: box.height } };
    },
  };
}

/** The axis of a strip: names from the top, as many as there is room for. */
export function heatAxis(names) {
  const every = Math.ceil(names.length / 16);
  const short = (name) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name);
  return {
    type: "category",
    inverse: true,
    data: names.map(short),
    splitLine: { show: false },
    axisLabel: { interval: (index) => index % every === 0 },
  };
}

/** How high a strip of so many rows is. */
export const heatHeight = (count) => 34 + Math.max(90, Math.min(420, count * (count > 40 ? 3 : count > 16 ? 8 : 16)));

/**
 * A chart of one figure of many devices. `sources(record)` gives [{ name, column }], `format` writes a value, `scale` is { min, max }.
 */
export function strip(spec) {
  const said = h("p", { class: "legend-note" });
  const known = (record, index) =>
    spec
      .sources(record)
      .map(({ name, column }) => ({ name, value: index < 0 ? null : column.mean[index] }))
      .filter(({ value }) => value !== null);

  const words = (record, index) => {
    const all = known(record, index);
    if (all.length === 0) return "not known";
    const most = all.reduce((one, other) => (other.value > one.value ? other : one));
    const mean = all.reduce((sum, { value }) => sum + value, 0) / all.length;
    return `${most.name} ${spec.format(most.value)}, mean ${spec.format(mean)}`;
  };

  return {
    wide: true,
    ...spec,
    height: (record) => heatHeight(record === null ? 1 : spec.sources(record).length),
    absent: (record) => spec.sources(record).length === 0 && record.time.length > 0,
    columns: (record) => spec.sources(record),

    draw(record, view) {
      const sources = spec.sources(record);
      return {
        series: [heat(record, sources.map(({ column }) => column), view, spec.scale, spec.paint ?? "--series-0")],
        empty: record.time.length === 0 ? "No samples in this time range" : null,
        axis: heatAxis(sources.map(({ name }) => name)),
      };
    },

    legend(chart) {
      if (!said.isConnected) chart.legend.append(said);
    },

    read(chart, instant) {
      const { record } = chart;
      const index = instant === null ? record.time.length - 1 : record.nearest(instant);
      write(said, `${instant === null ? "Now" : when(instant)}, the busiest: ${words(record, index)}`);
    },

    sentence: (chart, instant) => words(chart.record, chart.record.nearest(instant)),
  };
}
