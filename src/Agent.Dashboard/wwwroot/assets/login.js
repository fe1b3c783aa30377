// The log-in: sends the password, says what was wrong with it, and goes where the viewer meant to go.

import { byId } from "./dom.js";
import { clear, notice, storage, themeButton } from "./chrome.js";

/** A page of this dashboard; anything else in the address is not followed. */
function next() {
  const asked = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(?![/\\])/.test(asked) ? asked : "/";
}

async function send(form) {
  const body = new URLSearchParams(new FormData(form));
  const answer = await fetch("/login", { method: "POST", body, redirect: "manual" }).catch(() => null);
  if (answer === null) return { message: "The dashboard cannot be reached.", advice: "Is it running? Try again." };
  // The redirect after the right password, which a script may not look into.
  if (answer.type === "opaqueredirect") return null;
  if (answer.status === 401) return { message: "That is not the password.", advice: "Ask whoever runs this dashboard." };
  const said = await answer.json().catch(() => ({}));
  return { message: said.error ?? `The dashboard answered with status ${answer.status}.`, advice: said.detail ?? "" };
}

/** Nobody need log in to learn that nothing is stored. */
async function health() {
  const answer = await fetch("/healthz").catch(() => null);
  const said = await answer?.json().catch(() => null);
  if (said?.database) storage({ ...said.database, stores: said.database.writes });
}

byId("tools").append(themeButton());
health();
byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  const failure = await send(event.target);
  button.disabled = false;
  if (failure === null) {
    location.replace(next());
    return;
  }
  clear("login");
  notice("login", failure);
  byId("password").select();
});
