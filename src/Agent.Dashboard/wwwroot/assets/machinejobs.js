// The jobs of one machine: who uses it now, and who used it in the window that is shown.

import { h } from "./dom.js";
import * as api from "./api.js";
import { notice, clear } from "./chrome.js";
import { jobTable, rowOf, rowOfLive } from "./jobtable.js";

/** How often the hours of live jobs are read again. */
const REFRESH = 60000;

const NOW = ["user", "job", "gpus", "verdict", "lasted", "hours", "wasted", "busy", "cores", "memory"];
const PAST = ["user", "job", "gpus", "verdict", "began", "ended", "hours", "wasted", "busy"];

/** `why(row, opener)` opens the reasons behind the verdict of a job that runs. */
export function machineJobs(slug, why) {
  const live = jobTable("Jobs now", NOW, { why });
  const past = jobTable("Jobs that ended in this time range", PAST);
  const element = h("section", { class: "part jobs-part", hidden: true }, h("h2", {}, "Jobs"), live.element, past.element);
  /** Jobs of the window; null where the dashboard keeps none. */
  let kept = null;
  /** Jobs of the newest sample, as far as it tells. */
  let running = [];
  let asking = null;
  let timer = 0;

  function show() {
    const labels = new Map(running.map((job) => [job.id, job]));
    const isLive = (row) => row.ended === null && (running.length === 0 || labels.has(row.id));
    const known = kept ?? [];
    const now = known.filter(isLive).map((row) => ({ ...row, label: labels.get(row.id)?.label ?? row.label }));
    const told = new Set(now.map((row) => row.id));
    now.push(...running.filter((row) => !told.has(row.id)));
    const over = known.filter((row) => row.ended !== null);
    live.show(now);
    past.show(over);
    live.element.hidden = now.length === 0;
    past.element.hidden = over.length === 0;
    element.hidden = now.length + over.length === 0;
  }

  async function read(view) {
    clearTimeout(timer);
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const { minutes, to } = view.request;
      const said = await api.jobs({ server: slug, minutes, to }, mine.signal);
      if (mine.signal.aborted) return;
      clear("jobs");
      kept = said === null ? null : said.jobs.map(rowOf);
      show();
      if (said === null) return;
    } catch (error) {
      if (mine.signal.aborted) return;
      notice("jobs", error, () => read(view));
    }
    if (view.follows) timer = setTimeout(() => read(view), REFRESH);
  }

  return {
    element,
    read,
    /** The jobs of the newest sample, whole. */
    now(jobs) {
      running = (jobs ?? []).map(rowOfLive(slug));
      show();
    },
    /** The jobs of a live sample, of which it tells label, user, name and GPUs. */
    live(jobs) {
      if (jobs === undefined) return;
      const before = new Map(running.map((row) => [row.id, row]));
      running = (jobs ?? []).map((job) => ({ ...(before.get(job.id) ?? rowOfLive(slug)({ ...job, gpus: (job.gpus ?? []).map((gpu_index) => ({ gpu_index })) })), label: job.label }));
      show();
    },
  };
}
