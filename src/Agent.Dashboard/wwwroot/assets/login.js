// The log-in: sends name and password, says what was wrong with them, and goes where the viewer meant to go.

import { byId } from "./dom.js";
import { clear, notice, storage, themeButton } from "./chrome.js";

/** Longer waits are left to whoever sits there. */
const PATIENCE = 120;

/** Sends the form. What comes back is a page to go to, or what is wrong; `again` where it is worth another try after so many seconds. */
async function send(form) {
  const body = new URLSearchParams(new FormData(form));
  // The server alone decides which page of its own comes next: the address of this one says what was asked for.
  const answer = await fetch(`/login${location.search}`, {
    method: "POST",
    body,
    headers: { Accept: "application/json" },
    redirect: "error",
  }).catch(() => null);
  if (answer === null) return { message: "The dashboard cannot be reached.", advice: "Is it running? Try again." };
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return { next: said.next ?? "/" };
  if (answer.status === 401) {
    const hasNames = byId("name") !== null;
    return {
      message: hasNames ? "Wrong name or password." : "Wrong password.",
      advice: "Ask whoever runs this dashboard.",
    };
  }
  const again = answer.status === 429 || answer.status === 503 ? Number(answer.headers.get("Retry-After")) : 0;
  return {
    message: said.error ?? `The dashboard answered with status ${answer.status}.`,
    advice: again > 0 && again <= PATIENCE ? `This page tries again by itself in ${again} seconds.` : (said.detail ?? ""),
    again: again > 0 && again <= PATIENCE ? again : 0,
  };
}

/** Nobody has to log in to learn that nothing is stored. */
async function health() {
  const answer = await fetch("/healthz").catch(() => null);
  const said = await answer?.json().catch(() => null);
  if (said?.database) storage({ ...said.database, stores: said.database.writes });
}

async function logIn(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  const came = await send(form);
  if (came.next) {
    location.replace(came.next);
    return;
  }
  clear("login");
  notice("login", came);
  if (came.again) {
    // Somebody else's wrong guesses make the right password wait for its turn, which is kept.
    setTimeout(() => logIn(form), came.again * 1000);
    return;
  }
  button.disabled = false;
  byId("password").select();
}

byId("tools").append(themeButton());
health();
byId("form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(event.target);
});
