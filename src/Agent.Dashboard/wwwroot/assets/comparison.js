// Several machines on one axis of time: their samples lie at different instants, so each figure is put into steps that all of them share.

const POINTS = 600;

const known = (values) => values.filter((one) => one !== null && one !== undefined);
const sum = (values) => (known(values).length === 0 ? null : known(values).reduce((all, one) => all + one, 0));
const mean = (values) => (known(values).length === 0 ? null : sum(values) / known(values).length);

/** A figure of several devices as one, instant by instant. */
function joined(columns, join) {
  if (columns.length === 0) return null;
  const rows = (part) => columns[0].mean.map((_, at) => join(columns.map((column) => (column[part] ?? column.mean)[at])));
  return { mean: rows("mean"), min: rows("min"), max: rows("max") };
}

/** A figure of a machine itself, by its key in a history. */
export const ofMachine = (key) => (record) => record.series[key] ?? null;

/** A figure of all GPUs of a machine: their mean, or their sum. */
export const meanOfGpus = (key) => (record) => joined(record.gpus.map((gpu) => gpu.series[key]).filter(Boolean), mean);
export const sumOfGpus = (key) => (record) => joined(record.gpus.map((gpu) => gpu.series[key]).filter(Boolean), sum);

/** Puts a column into steps: the mean of the means, and the extremes where a step holds several values. */
function stepped(record, column, from, step, count) {
  const empty = () => new Array(count).fill(null);
  const [means, mins, maxs, counts] = [empty(), empty(), empty(), new Array(count).fill(0)];
  let isJoined = false;
  for (let at = 0; at < record.time.length; at += 1) {
    const value = column.mean[at];
    const place = Math.floor((record.time[at] - from) / step);
    if (value === null || value === undefined || place < 0 || place >= count) continue;
    const [low, high] = [column.min?.[at] ?? value, column.max?.[at] ?? value];
    isJoined ||= counts[place] > 0 || low !== high;
    counts[place] += 1;
    means[place] = counts[place] === 1 ? value : means[place] + (value - means[place]) / counts[place];
    mins[place] = counts[place] === 1 ? low : Math.min(mins[place], low);
    maxs[place] = counts[place] === 1 ? high : Math.max(maxs[place], high);
  }
  return isJoined ? { mean: means, min: mins, max: maxs } : { mean: means, min: null, max: null };
}

/** The last instant at which all machines that still send have sent. */
function lastOf(machines, to) {
  const ends = machines.filter(({ record }) => record.time.length > 0).map(({ record }) => ({ end: record.time.at(-1), gap: record.gap }));
  const newest = Math.max(...ends.map(({ end }) => end));
  return ends.length === 0 ? to : Math.min(...ends.filter(({ end, gap }) => newest - end <= gap).map(({ end }) => end));
}

/** The records of machines, [{ slug, record }], as one: what charts of lines draw. */
export class Comparison {
  #columns = new Map();

  constructor(machines, from, to) {
    this.machines = machines;
    // Buckets of one range lie at the same instants; samples do not, and a step of twice their distance always holds one.
    this.step = Math.max((to - from) / POINTS, ...machines.map(({ record }) => record.step * (record.bucketed ? 1 : 2)));
    this.from = Math.floor(from / this.step) * this.step;
    this.count = Math.max(1, Math.floor((lastOf(machines, to) - this.from) / this.step) + 1);
    this.time = machines.every(({ record }) => record.time.length === 0) ? [] : Array.from({ length: this.count }, (_, at) => this.from + at * this.step);
    this.gap = Math.max(this.step * 2.6, 5000, ...machines.map(({ record }) => record.gap));
    // A machine that sends seldom leaves steps empty, which is no gap.
    this.isSparse = true;
    this.bucketed = true;
    this.gpus = [];
  }

  /** A line for each machine that has the figure. `figure(record)` gives its column, or null. */
  sources(id, figure) {
    if (!this.#columns.has(id)) {
      this.#columns.set(
        id,
        this.machines.flatMap(({ slug, name, record }, index) => {
          const column = figure(record);
          return column === null
            ? []
            : [{ key: slug, name, title: slug, paint: `--series-${index % 8}`, column: stepped(record, column, this.from, this.step, this.count) }];
        }),
      );
    }
    return this.#columns.get(id);
  }

  /** The place of the step at an instant, or -1 outside. */
  nearest(at) {
    const place = Math.floor((at - this.from) / this.step);
    return place >= 0 && place < this.time.length ? place : -1;
  }
}
