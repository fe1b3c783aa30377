// The figures of a stretch of time that is over, in the form of a snapshot, and its name in words.

import { clock, day } from "./format.js";
import { telling } from "./lanes.js";

/** "14:00–15:00", with the days where it is not within today. */
export function windowName(from, to, now = Date.now()) {
  const seconds = to - from < 600000;
  const isToday = (ms) => day(ms) === day(now) && Math.abs(now - ms) < 86400000;
  if (isToday(from) && isToday(to)) return `${clock(from, seconds)}–${clock(to, seconds)}`;
  if (day(from) === day(to)) return `${day(from)}, ${clock(from, seconds)}–${clock(to, seconds)}`;
  return `${day(from)}, ${clock(from, seconds)} – ${day(to)}, ${clock(to, seconds)}`;
}

/** The mean of what is known; null where nothing is. */
function meanOf(values, first, last) {
  let [sum, count] = [0, 0];
  for (let at = first; at <= last; at += 1) {
    if (values[at] === null || values[at] === undefined) continue;
    sum += values[at];
    count += 1;
  }
  return count === 0 ? null : sum / count;
}

const known = (values) => values.filter((one) => one !== null && one !== undefined);
const most = (values) => (known(values).length === 0 ? null : Math.max(...known(values)));
const mean = (values) => (known(values).length === 0 ? null : known(values).reduce((sum, one) => sum + one, 0) / known(values).length);

/** What a snapshot would say of the whole window; null where it holds no samples. */
export function snapshotOf(record, from, to) {
  const first = record.time.findIndex((at) => at >= from);
  const last = record.time.findLastIndex((at) => at <= to);
  if (first < 0 || last < first) return null;
  const means = (series) => Object.fromEntries(Object.entries(series).map(([name, column]) => [name, meanOf(column.mean, first, last)]));
  const gpus = record.gpus.map((gpu) => ({
    gpu_index: gpu.gpu_index,
    name: gpu.name,
    ...means(gpu.series),
    throttle_reasons: telling([...new Set(gpu.throttle.filter((run) => run.to > from && run.from < to).flatMap((run) => run.reasons))]),
  }));
  return {
    ...means(record.series),
    top_gpu_util_percent: most(gpus.map((gpu) => gpu.utilization_gpu_percent)),
    avg_gpu_util_percent: mean(gpus.map((gpu) => gpu.utilization_gpu_percent)),
    top_gpu_memory_percent: most(gpus.map((gpu) => gpu.memory_percent)),
    gpu_count: gpus.length,
    gpus,
  };
}

/** The label that took most of the window, with its share and the reason of its longest run; null where there is none. */
export function mostOf(record, from, to) {
  const [first] = record.shares(from, to);
  if (first === undefined) return null;
  const [label, share] = first;
  const length = (run) => Math.min(run.to, to) - Math.max(run.from, from);
  const longest = record.runs.filter((run) => run.label === label && length(run) > 0).sort((one, other) => length(other) - length(one))[0];
  return { label, share, reason: longest?.reason ?? null, at: longest ? (Math.max(longest.from, from) + Math.min(longest.to, to)) / 2 : (from + to) / 2 };
}
