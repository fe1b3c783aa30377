// Server-sent events, and what to do when they stop: the browser reconnects after a lost connection, this does after all else.

import { storageNow } from "./chrome.js";

const RETRY = [1000, 2000, 4000, 8000, 15000];
/** The server sends at least a comment every 15 seconds; EventSource does not show comments, so samples are what is watched. */
const SILENCE = 45000;
/** A page that nobody sees gives its connection back after this time: a browser has six of them for one server. */
const UNSEEN = 30000;

/**
 * Listens to /api/events/. `on.sample(server, snapshot)` for each sample, `on.servers()` when the list changed,
 * `on.state("live" | "connecting" | "lost")`, and `on.gap()` when events may have been missed and all has to be read anew.
 */
export function listen(slug, on) {
  let source = null;
  let attempts = 0;
  let wasOpen = false;
  let heard = Date.now();
  let timer = 0;
  let hiding = 0;

  const again = () => {
    source?.close();
    clearTimeout(timer);
    timer = setTimeout(open, RETRY[Math.min(attempts, RETRY.length - 1)]);
    attempts += 1;
    if (attempts > 1) on.state("lost");
  };

  function open() {
    source?.close();
    source = new EventSource(slug === null ? "/api/events/" : `/api/events/?server=${encodeURIComponent(slug)}`);
    source.onopen = () => {
      attempts = 0;
      heard = Date.now();
      on.state("live");
      if (wasOpen) on.gap();
      wasOpen = true;
    };
    source.onerror = () => {
      on.state("connecting");
      again();
    };
    source.addEventListener("sample", (event) => {
      heard = Date.now();
      const { server, snapshot } = JSON.parse(event.data);
      on.sample(server, snapshot);
    });
    // Comes first, and whenever it changes.
    source.addEventListener("storage", (event) => {
      heard = Date.now();
      storageNow(JSON.parse(event.data));
    });
    // The server's own word that this client was too slow for it.
    source.addEventListener("gap", () => on.gap());
    source.addEventListener("servers", () => {
      heard = Date.now();
      on.servers?.();
    });
  }

  on.state("connecting");
  open();

  function rest() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  // A page that was hidden, or a machine that slept, may have missed much, and its connection may be dead without a word.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.visibilityState === "hidden") hiding = setTimeout(rest, UNSEEN);
    else if (source === null || Date.now() - heard > SILENCE) open();
  });
  addEventListener("online", open);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}
