// A job's minutes as a record that charts draw, and its parts compared with each other.

import { Record } from "./record.js";

const FIGURES = ["gpu_busy_percent", "cpu_cores_used", "memory_bytes", "read_bytes_per_s", "write_bytes_per_s"];

/** The usual distance of two stretches, in milliseconds: a minute, or more of a long job. */
function stepOf(time) {
  const steps = time.slice(1).map((at, place) => at - time[place]).sort((a, b) => a - b);
  return Math.max(60000, steps[0] ?? 60000);
}

/** Neighbouring minutes of one label as one run. */
function runsOf(time, labels, step) {
  const runs = [];
  time.forEach((at, place) => {
    const last = runs.at(-1);
    if (last && last.label === labels[place] && at <= last.end + step / 2) last.end = at + step;
    else runs.push({ label: labels[place], begin: at, end: at + step });
  });
  return runs.map(({ label, begin, end }) => ({ label, reason: null, from: new Date(begin).toISOString(), to: new Date(end).toISOString() }));
}

/** The record of a job's minutes between two instants (milliseconds). `wasted` is how many GPUs were wasted on average. */
export function jobRecord(minutes, from, to) {
  const { time, label } = minutes;
  const step = stepOf(time);
  const series = Object.fromEntries(FIGURES.filter((name) => minutes[name]).map((name) => [name, { mean: [...minutes[name]] }]));
  series.wasted = { mean: minutes.wasted_gpu_seconds.map((seconds) => (seconds === null ? null : seconds / (step / 1000))) };
  return new Record(
    {
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      source: "minute",
      bucket_seconds: step / 1000,
      time: time.map((at, place) => (place === 0 ? at : at - time[place - 1])),
      series,
      gpus: [],
      disks: [],
      fans: [],
      bottlenecks: runsOf(time, label, step),
      bottleneck_share: null,
    },
    [],
    step / 1000,
  );
}

/** Points of utilisation by which a part has to differ from the others, as within a machine (Limits.spread of the core). */
const SPREAD = 25;

const most = (shares) => Object.entries(shares).sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;

/**
 * The keys of parts that the others wait for: those of another label than communication where most of the others wait in collectives, and those
 * whose GPUs are busy far less than the middle one's.
 */
export function stragglers(rows) {
  if (rows.length < 2) return new Set();
  const waits = (row) => ["communication", "imbalance"].includes(most(row.shares));
  const waiting = rows.filter(waits).length;
  const busy = rows.map((row) => row.busy).filter((one) => one !== null && one !== undefined).sort((a, b) => a - b);
  const middle = busy[Math.floor(busy.length / 2)] ?? null;
  const isBehind = (row) => (waiting > rows.length / 2 && !waits(row)) || (middle !== null && row.busy !== null && middle - row.busy >= SPREAD);
  return new Set(rows.filter(isBehind).map((row) => row.key));
}
