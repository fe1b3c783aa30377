// Runs: stretches of time in which one label held.

import { rankOf, severityOf } from "./labels.js";

/** A run of the API's, with its instants in milliseconds. */
export const runOf = ({ from, to, ...rest }) => ({ ...rest, from: Date.parse(from), to: Date.parse(to) });

/** The run at an instant, or null. */
export const runAt = (runs, instant) => runs.find((run) => run.from <= instant && instant < run.to) ?? null;

/** The runs of verdicts, and those of the rule for the time before there were any: minutes of older versions have none. Both are in the order of time. */
export function mergedRuns(judged, ruled) {
  if (judged.length === 0) return ruled;
  const rest = [];
  let first = 0;
  for (const run of ruled) {
    while (first < judged.length && judged[first].to <= run.from) first += 1;
    let start = run.from;
    for (let at = first; at < judged.length && judged[at].from < run.to; at += 1) {
      if (judged[at].from > start) rest.push({ ...run, from: start, to: judged[at].from });
      start = Math.max(start, judged[at].to);
    }
    if (start < run.to) rest.push({ ...run, from: start });
  }
  return [...judged, ...rest].sort((one, other) => one.from - other.from);
}

/** A part of a column is at least so high, of all of it: less than that cannot be seen. */
const LEAST = 0.12;

/** Who shares a column, the worst at the top, as parts of its height. */
function partsOf(shares) {
  const all = [...shares.values()].reduce((sum, one) => sum + one, 0);
  const parts = [...shares]
    .map(([label, time]) => ({ label, part: Math.max(LEAST, time / all) }))
    .sort((one, other) => rankOf({ label: one.label, severity: severityOf(one.label) }) - rankOf({ label: other.label, severity: severityOf(other.label) }));
  const sum = parts.reduce((total, { part }) => total + part, 0);
  let top = 0;
  return parts.map(({ label, part }) => {
    const placed = { label, top, height: part / sum };
    top += placed.height;
    return placed;
  });
}

/**
 * What to paint for the runs of a window in so many columns: { start, width } in columns, { top, height } in parts of the height. Columns that one run
 * fills are one piece.
 */
export function columnsOf(runs, from, to, count) {
  const scale = count / (to - from);
  const pieces = [];
  const shared = new Map();
  const share = (column, label, time) => {
    if (time <= 0) return;
    const known = shared.get(column) ?? new Map();
    known.set(label, (known.get(label) ?? 0) + time);
    shared.set(column, known);
  };
  for (const { from: begin, to: end, label } of runs) {
    const [x0, x1] = [Math.max(0, (begin - from) * scale), Math.min(count, (end - from) * scale)];
    if (x1 <= x0) continue;
    const [first, last] = [Math.floor(x0), Math.min(count - 1, Math.floor(x1))];
    if (first === last) share(first, label, x1 - x0);
    else {
      if (last > first + 1) pieces.push({ start: first + 1, width: last - first - 1, top: 0, height: 1, label });
      share(first, label, first + 1 - x0);
      share(last, label, x1 - last);
    }
  }
  for (const [column, shares] of shared) for (const part of partsOf(shares)) pieces.push({ start: column, width: 1, ...part });
  return pieces;
}
