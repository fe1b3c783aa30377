// The history that is on screen: columns over one axis of time, to which live samples are added.

import { ofLast } from "./rates.js";
import { mergedRuns, runOf } from "./runs.js";

const ms = (instant) => Date.parse(instant);
const value = (given) => (typeof given === "number" ? given : null);

/** What differences add up to, from the first on; what is not known stays so. */
function sums(differences) {
  let sum = 0;
  return differences.map((one) => (one === null ? null : (sum += one)));
}

/** Rows as the API has them without `form=delta`; some come like that anyway. */
function plain(series) {
  const { scale, mean, below, above } = series;
  if (scale === undefined) return series;
  const steps = sums(mean);
  const values = (of) => steps.map((one, at) => (one === null ? null : of(one, at) / scale));
  return {
    mean: values((one) => one),
    min: below && values((one, at) => one - below[at]),
    max: above && values((one, at) => one + above[at]),
  };
}

const plainly = (all) => Object.fromEntries(Object.entries(all).map(([name, series]) => [name, plain(series)]));

/** One figure over time. Where buckets hold several samples, with the extremes of each. */
class Column {
  constructor(series, read) {
    this.mean = series.mean;
    this.min = series.min ?? null;
    this.max = series.max ?? null;
    this.read = read;
    this.count = 0;
  }

  push(given) {
    this.mean.push(given);
    this.min?.push(given);
    this.max?.push(given);
    this.count = given === null ? 0 : 1;
  }

  /** One sample more in the last bucket. */
  add(given) {
    if (given === null) return;
    const last = this.mean.length - 1;
    if (this.mean[last] === null) {
      this.mean[last] = this.min[last] = this.max[last] = given;
      this.count = 1;
      return;
    }
    this.count += 1;
    this.mean[last] += (given - this.mean[last]) / this.count;
    this.min[last] = Math.min(this.min[last], given);
    this.max[last] = Math.max(this.max[last], given);
  }

  clearLast() {
    const last = this.mean.length - 1;
    this.mean[last] = this.min[last] = this.max[last] = null;
    this.count = 0;
  }

  drop(count) {
    for (const values of [this.mean, this.min, this.max]) values?.splice(0, count);
  }
}

const columnsOf = (series, read) =>
  Object.fromEntries(Object.entries(series).map(([name, one]) => [name, new Column(one, (snapshot) => value(read(snapshot)?.[name]))]));

/** From one sample to the next, in milliseconds, as nine in ten are: outages and a few late samples do not count. */
function usualStep(time, interval) {
  const steps = time.slice(1).map((at, place) => at - time[place]).sort((a, b) => a - b);
  return steps.length >= 10 || interval === null ? (steps[Math.floor(steps.length * 0.9)] ?? 2000) : interval;
}

/** Continues the last run, or begins one where the label is another or there was a gap. */
function extend(runs, at, step, gap, fields, same) {
  const last = runs.at(-1);
  if (last && at - last.to <= gap && same(last)) {
    last.to = Math.max(last.to, at + step);
    Object.assign(last, fields);
    return;
  }
  if (last && last.to > at) last.to = at;
  runs.push({ ...fields, from: last && at - last.to <= gap ? Math.min(at, last.to) : at, to: at + step });
}

/** After more empty buckets than this the history is read again. */
const MOST_EMPTY = 200;

/** Per cent for each label: of the seconds that are known, and of the runs for which none are. */
function sharesOf(seconds, runs) {
  const all = new Map(Object.entries(seconds ?? {}));
  for (const run of runs) all.set(run.label, (all.get(run.label) ?? 0) + (run.to - run.from) / 1000);
  const sum = [...all.values()].reduce((one, other) => one + other, 0);
  return sum > 0 ? Object.fromEntries([...all].map(([label, one]) => [label, (one / sum) * 100])) : {};
}

export class Record {
  /**
   * `json` is the answer of /api/metrics/history/ with form=delta, `recent` the samples that came live lately, oldest first; `interval` is how many
   * seconds its samples are apart now, or null.
   */
  constructor(json, recent, interval = null) {
    this.from = ms(json.from);
    this.to = ms(json.to);
    this.source = json.source;
    this.time = sums(json.time);
    const series = plainly(json.series ?? {});
    const devices = (json.devices ?? []).map((device) => ({ ...device, series: plainly(device.series) }));
    this.bucketed = [series, ...devices.map((device) => device.series)].some((all) => Object.values(all).some((one) => one.min));
    this.interval = interval === null ? null : interval * 1000;
    this.step = this.bucketed ? json.bucket_seconds * 1000 : usualStep(this.time, this.interval);
    this.series = columnsOf(series, (snapshot) => snapshot);
    /** Of one kind of what is kept beside the main charts, which no live sample adds to. */
    this.devices = devices.map((device) => ({ ...device, series: columnsOf(device.series, () => null) }));
    /** How many devices there are of each such kind. */
    this.details = json.details ?? {};
    this.gpus = (json.gpus ?? []).map((gpu) => ({
      ...gpu,
      series: columnsOf(plainly(gpu.series), (snapshot) => snapshot.gpus?.find((one) => one.gpu_index === gpu.gpu_index)),
      throttle: (gpu.throttle ?? []).map(runOf),
    }));
    this.disks = (json.disks ?? []).map((disk) => ({ ...disk, series: columnsOf(plainly(disk.series), (snapshot) => snapshot.disks?.find((one) => one.device === disk.device)) }));
    this.fans = (json.fans ?? []).map((fan) => ({ ...fan, series: columnsOf(plainly(fan.series), (snapshot) => snapshot.fans?.find((one) => one.label === fan.label)) }));
    /** Stretches of buckets with samples in which the machine sent nothing for so many seconds. */
    this.silent = (json.silent ?? []).map(runOf);
    const judged = (json.verdicts ?? []).map(runOf);
    const ruled = (json.bottlenecks ?? []).map(runOf);
    this.runs = mergedRuns(judged, ruled);
    // Exact for the whole of the window, where runs are only as fine as the buckets.
    this.share = judged.length === 0 ? json.bottleneck_share : sharesOf(json.verdict_seconds, this.runs.filter((run) => !judged.includes(run)));
    /** Devices that are not among those that are shown, which are the busiest. */
    this.leftOut = json.devices_left_out ?? 0;
    this.columns = [this, ...this.gpus, ...this.disks, ...this.fans, ...this.devices].flatMap((owner) => Object.values(owner.series));
    this.#takeOver(recent);
  }

  /** Beyond this distance two points are not joined: samples are missing between them. An empty bucket says so itself. */
  get gap() {
    return this.bucketed ? Math.max(this.step * 1.5, (this.interval ?? 0) * 2.6) : Math.max(this.step * 2.6, 5000);
  }

  /** Whether samples are so far apart that empty buckets between them are no gap. */
  get isSparse() {
    return this.bucketed && (this.interval ?? 0) > this.step;
  }

  /** Whether all of a stretch can be drawn from what is here. */
  covers(from, to) {
    return this.from <= from + this.step && to <= this.to + Math.max(this.step, 10000);
  }

  /** The bucket that was still open when the history was read can be continued if all its samples are known one by one. */
  #takeOver(recent) {
    const last = this.time.at(-1);
    this.known = !this.bucketed || this.time.length === 0;
    if (this.known) {
      for (const snapshot of recent) this.append(snapshot);
      return;
    }
    if (recent.length === 0 || ms(recent[0].collected_at) > last) return;
    for (const column of this.columns) column.clearLast();
    this.known = true;
    for (const snapshot of recent.filter((one) => ms(one.collected_at) >= last)) this.append(snapshot);
  }

  /** Adds a live sample. False if the history has to be read again instead. */
  append(given) {
    const snapshot = ofLast(given);
    const at = ms(snapshot.collected_at);
    const last = this.time.at(-1) ?? -Infinity;
    if (this.#isNew(snapshot)) return false;
    if (at < last || (!this.bucketed && at === last)) return true;
    if (this.bucketed && at < last + this.step) {
      if (this.known) for (const column of this.columns) column.add(column.read(snapshot));
    } else {
      if (!this.known) return false;
      const buckets = this.bucketed && Number.isFinite(last) ? Math.floor((at - last) / this.step) : 0;
      if (buckets > MOST_EMPTY) return false;
      for (let empty = 1; empty < buckets; empty += 1) {
        this.time.push(last + empty * this.step);
        for (const column of this.columns) column.push(null);
      }
      this.time.push(buckets > 0 ? last + buckets * this.step : at);
      for (const column of this.columns) column.push(column.read(snapshot));
    }
    this.#label(snapshot, at);
    this.to = Math.max(this.to, at);
    return true;
  }

  /** A device that the columns do not have yet. */
  #isNew(snapshot) {
    // Where not all are shown, one more is nothing to read everything anew for.
    if (this.leftOut > 0) return false;
    const lacks = (given, known, key) => (given ?? []).some((one) => !known.some((other) => other[key] === one[key]));
    return lacks(snapshot.gpus, this.gpus, "gpu_index") || lacks(snapshot.disks, this.disks, "device") || lacks(snapshot.fans, this.fans, "label");
  }

  #label(snapshot, at) {
    const step = Math.min(this.step, (snapshot.interval_seconds ?? this.step / 1000) * 1000);
    const { label, reason } = snapshot.verdict ?? { label: snapshot.bottleneck, reason: snapshot.reason };
    extend(this.runs, at, step, this.gap, { label, reason }, (run) => run.label === label);
    this.share = null;
    for (const gpu of this.gpus) {
      const reasons = snapshot.gpus?.find((one) => one.gpu_index === gpu.gpu_index)?.throttle_reasons ?? [];
      if (reasons.length > 0) extend(gpu.throttle, at, step, this.gap, { reasons }, (run) => run.reasons.join() === reasons.join());
    }
  }

  /** Forgets what lies before an instant. */
  trim(before) {
    const count = this.time.findIndex((at) => at >= before);
    if (count < 60) return;
    this.time.splice(0, count);
    for (const column of this.columns) column.drop(count);
    this.from = Math.max(this.from, before);
    this.runs = this.runs.filter((run) => run.to > before);
    this.silent = this.silent.filter((run) => run.to > before);
    for (const gpu of this.gpus) gpu.throttle = gpu.throttle.filter((run) => run.to > before);
  }

  /** The place of the point nearest to an instant, or -1 where there is none nearby. */
  nearest(at) {
    let [low, high] = [0, this.time.length - 1];
    if (high < 0) return -1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time[middle] < at) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && at - this.time[low - 1] < this.time[low] - at) low -= 1;
    return Math.abs(this.time[low] - at) <= this.gap ? low : -1;
  }

  /** Per cent of the covered time for each label, most first, within a stretch. */
  shares(from, to) {
    const isWhole = Math.abs(from - this.from) <= 2 * this.step && Math.abs(to - this.to) <= 2 * this.step;
    if (this.share !== null && this.step >= 60000 && isWhole) return Object.entries(this.share).sort((a, b) => b[1] - a[1]);
    const spans = new Map();
    let all = 0;
    for (const run of this.runs) {
      const covered = Math.min(run.to, to) - Math.max(run.from, from);
      if (covered <= 0) continue;
      spans.set(run.label, (spans.get(run.label) ?? 0) + covered);
      all += covered;
    }
    return [...spans].map(([label, covered]) => [label, (covered / all) * 100]).sort((a, b) => b[1] - a[1]);
  }

  /** Labels that took part of a stretch without a run of their own there, because others were longer in each bucket: { label, part of the time }. */
  hidden(from, to) {
    if (this.runs.length === 0) return [];
    const seen = new Set(this.runs.filter((run) => run.to > from && run.from < to).map((run) => run.label));
    return this.shares(from, to).filter(([label, share]) => !seen.has(label) && share > 0).map(([label, share]) => ({ label, part: share / 100 }));
  }

  /** How long the labels cover, in milliseconds, within a stretch. */
  covered(from, to) {
    return this.runs.reduce((sum, run) => sum + Math.max(0, Math.min(run.to, to) - Math.max(run.from, from)), 0);
  }
}

