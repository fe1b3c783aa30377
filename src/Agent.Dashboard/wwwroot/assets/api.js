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

/** POSTs JSON and gets some back. Throws an ApiError. */
const post = (path, value) =>
  json(path, null, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

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

export const servers = (signal) => get("/api/servers/", signal);
export const addServer = (name, slug) => post("/api/servers/", { name, slug });
export const about = () => get("/api/");
export const latest = (slug, signal) => get(`/api/metrics/latest/?server=${encodeURIComponent(slug)}`, signal);

/** The history of the `minutes` that end at `to` (milliseconds; null for now). */
export const history = (slug, minutes, to, signal) =>
  get(`/api/metrics/history/?server=${encodeURIComponent(slug)}&minutes=${minutes}&form=delta${to === null ? "" : `&to=${new Date(to).toISOString()}`}`, signal);
