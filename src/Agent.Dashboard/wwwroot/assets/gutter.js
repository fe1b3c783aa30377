// The room at the left of every plot for the figures of its axis: as wide as the widest of them, so that plots begin in one line.

const LEAST = 50;
const MARGIN = 12;

const pen = document.createElement("canvas").getContext("2d");
const listeners = new Set();

/** What stands at an axis. */
function texts({ min, max, interval, data, axisLabel }) {
  if (axisLabel?.show === false) return [];
  if (data) return data;
  if (!(interval > 0)) return [];
  const steps = Math.min(20, Math.round((max - min) / interval));
  return Array.from({ length: steps + 1 }, (_, step) => axisLabel?.formatter?.(min + step * interval) ?? String(min + step * interval));
}

export const gutter = {
  /** In pixels. */
  width: LEAST,

  onChange: (listener) => listeners.add(listener),

  /** Makes room for the figures of this axis; it never gets narrower, so that charts do not move to and fro. */
  widen(axis) {
    pen.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
    const needed = Math.ceil(Math.max(0, ...texts(axis).map((text) => pen.measureText(text).width))) + MARGIN;
    if (needed <= this.width) return;
    this.width = needed;
    // Not from within the drawing that asked for it.
    queueMicrotask(() => listeners.forEach((listener) => listener()));
  },
};
