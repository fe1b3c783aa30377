// Everything that is asked of the server, and what is said when it does not answer.

/** A request that failed: what is wrong, and what to do about it. `status` is 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, what, advice) {
    super(what);
    this.status = status;
    this.advice = advice;
  }
}

const LIMIT = 20000;

/** The limit is for the answer to begin: how long it takes then is a matter of the line. */
async function answer(path, signal, asked = {}) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), LIMIT);
  try {
    return await fetch(path, {
      ...asked,
      headers: { Accept: "application/json", ...asked.headers },
      signal: signal ? AbortSignal.any([signal, limit.signal]) : limit.signal,
    });
  } catch (reason) {
    if (signal?.aborted) throw reason;
    if (limit.signal.aborted) throw new ApiError(0, "The dashboard does not answer.", `${path} took longer than ${LIMIT / 1000} seconds.`);
    throw new ApiError(0, "The dashboard cannot be reached.", "Is ai-dashboard running, and the network up? This page retries by itself.");
  } finally {
    clearTimeout(timer);
  }
}

/** Where a viewer has to log in, this leaves the page. */
function logIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  return new Promise(() => {});
}

/** GETs JSON. Throws an ApiError, or an AbortError if `signal` said so. */
export const get = (path, signal) => json(path, signal);

/** Sends JSON and gets some back. Throws an ApiError. */
const send = (method, path, value) =>
  json(path, null, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
const post = (path, value) => send("POST", path, value);

async function json(path, signal, asked) {
  const response = await answer(path, signal, asked);
  if (response.status === 401) return logIn();
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw new ApiError(
    response.status,
    body?.error ?? `The dashboard answered with status ${response.status}.`,
    body?.detail ?? (response.ok ? "The answer is not JSON: is a proxy in front answering instead?" : ""),
  );
}

/** GETs what may be unknown: null then. */
async function ifKnown(path, signal) {
  try {
    return await get(path, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** GETs what an older dashboard does not have: null then, without asking it. */
const ifServed = async (base, query, signal) => ((await knows(base)) ? get(`${base}?${query}`, signal) : null);

const queryOf = (asked) => new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null && value !== "" && value !== false && value !== undefined)).toString();
const until = (to) => (to === null ? null : new Date(to).toISOString());

export const servers = (signal) => get("/api/servers/", signal);
export const addServer = (name, slug) => post("/api/servers/", { name, slug });
let told = null;

/** What the dashboard is, and what it can be asked. Asked once a page. */
export function about() {
  told ??= get("/api/").catch((error) => {
    told = null;
    throw error;
  });
  return told;
}

/** Whether this dashboard answers below a path: an older one does not. */
export const knows = async (path) => ((await about()).endpoints ?? []).some((known) => known.startsWith(path));
export const latest = (slug, signal) => get(`/api/metrics/latest/?server=${encodeURIComponent(slug)}`, signal);

const historyPath = (slug, minutes, to) =>
  `/api/metrics/history/?server=${encodeURIComponent(slug)}&minutes=${minutes}&form=delta${to === null ? "" : `&to=${new Date(to).toISOString()}`}`;

/** A history that was asked for early lasts so many milliseconds; live samples complete it. */
const EARLY = 5000;
let early = null;

/**
 * Asks for the last `minutes` before anybody does, because the pointer or the focus is on what would show them. One at a time: the next
 * one takes its place.
 */
export function expectHistory(slug, minutes) {
  const path = historyPath(slug, minutes, null);
  if (early?.path === path && performance.now() - early.at < EARLY) return;
  early?.stop.abort();
  const stop = new AbortController();
  early = { path, stop, at: performance.now(), answer: get(path, stop.signal) };
  // Whoever asks for it in earnest is told.
  early.answer.catch(() => {});
}

/** The history of the `minutes` that end at `to` (milliseconds; null for now). */
export async function history(slug, minutes, to, signal) {
  const path = historyPath(slug, minutes, to);
  const ready = early?.path === path && performance.now() - early.at < EARLY ? early.answer : null;
  if (ready !== null) {
    early = null;
    const json = await ready.catch(() => null);
    if (json !== null || signal?.aborted) return json;
  }
  return get(path, signal);
}

/** The same of one kind of what is kept beside the main charts. */
export const details = (slug, kind, minutes, to, signal) => get(`/api/metrics/history/?${queryOf({ server: slug, minutes, form: "delta", details: kind, to: until(to) })}`, signal);

/** The use of every GPU of the fleet over the last minutes. */
export const fleetGpus = (minutes, signal) => get(`/api/fleet/gpus/?minutes=${minutes}`, signal);

/** What was said at an instant (milliseconds); null where nobody knows. */
export const verdictAt = (slug, at, signal) => ifServed("/api/verdicts/", queryOf({ server: slug, at: until(at) }), signal);

/** The jobs of a window: of one machine, or of all for null. Null where the dashboard keeps none. */
export const jobs = ({ server = null, minutes, to = null, active = false }, signal) => ifServed("/api/jobs/", queryOf({ server, minutes, to: until(to), active }), signal);

/** A job's whole life. Null for an unknown one. */
export const job = (key) => ifKnown(`/api/jobs/${encodeURIComponent(key)}/`);

/** What happened to a machine in a window. Null where the dashboard does not keep it. */
export const timeline = (server, minutes, to, signal) => ifServed("/api/timeline/", queryOf({ server, minutes, to: until(to) }), signal);

const wasteQuery = (by, minutes, more = {}) => queryOf({ by, minutes, ...more });
export const waste = (by, minutes, signal) => ifServed("/api/waste/", wasteQuery(by, minutes), signal);
/** Where the same is to be had as CSV. */
export const wasteCsv = (by, minutes) => `/api/waste/?${wasteQuery(by, minutes, { format: "csv" })}`;

/** Alerts, the open ones or all. Null where the dashboard has none. `limit` 0 only counts. */
export const alerts = ({ state = "open", limit = null } = {}, signal) => ifServed("/api/alerts/", queryOf({ state, limit }), signal);
export const acknowledge = (id) => post(`/api/alerts/${id}/ack/`, {});
/** Keeps an alert quiet for some minutes; null for no longer. */
export const mute = (id, minutes) => post(`/api/alerts/${id}/mute/`, minutes === null ? { until: null } : { minutes });
export const alertRules = (signal) => get("/api/alerts/rules/", signal);
export const setAlertRules = (rules) => send("PUT", "/api/alerts/rules/", rules);
export const silences = (signal) => get("/api/alerts/silences/", signal);
export const addSilence = (silence) => post("/api/alerts/silences/", silence);
export const removeSilence = (id) => send("DELETE", `/api/alerts/silences/${id}/`, {});
export const channels = (signal) => get("/api/alerts/channels/", signal);
export const testChannel = (name) => post(`/api/alerts/channels/${encodeURIComponent(name)}/test/`, {});
