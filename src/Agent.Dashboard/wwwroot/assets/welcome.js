// The first visit, when nothing is registered: what changes that, in the browser and by two commands.

import { h, write } from "./dom.js";

async function copy(text, button) {
  const say = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(text);
    write(say, "Copied");
  } catch {
    // Outside of https and loopback the browser offers no clipboard: select the text, Ctrl-C is then one key away.
    getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
    write(say, "Press Ctrl-C");
  }
  setTimeout(() => write(say, "Copy"), 2000);
}

/** A command and the button that copies it; `name` says what it does. */
export function command(text, name) {
  const button = h(
    "button",
    { class: "button", type: "button", "aria-label": `Copy the command that ${name}` },
    h("span", { "aria-live": "polite" }, "Copy"),
  );
  button.addEventListener("click", () => copy(text, button));
  return h("div", { class: "command" }, h("pre", { tabindex: "0" }, h("code", {}, text)), button);
}

const step = (title, words, text, name) => h("li", {}, h("h2", {}, title), h("p", {}, words), command(text, name));

/** The command that starts an agent, as the shell takes it. */
const agentCommand = (slug) => `ai-dashboard-agent --host ${location.origin} \\\n  --server-slug ${slug} --token-file ingest-token`;

/** What the page of a machine shows that has never sent a sample. */
export const startAgent = (slug) =>
  h(
    "section",
    { class: "card welcome" },
    h("h2", {}, "Start its agent"),
    h("p", {}, "Run this on the machine itself, with the token that its registration printed in a file. A lost token is replaced with ai-dashboard register-server --rotate-token."),
    command(agentCommand(slug), "starts its agent"),
    h("p", { class: "waiting", role: "status" }, h("span", { class: "dot" }), "The charts appear with the first sample."),
  );

/** What an empty fleet shows. `add` is the button that adds a machine, which admins alone see. */
export const welcome = (add) =>
  h(
    "section",
    { class: "card welcome" },
    h("h1", {}, "No machine reports here yet"),
    add,
    h(
      "p",
      {},
      "Two commands add the first one: register it here, then start its agent with the token that the registration prints. ",
      "Admins who have logged in can add machines in the browser instead.",
    ),
    h(
      "ol",
      { class: "steps" },
      step("Register a machine", "Run this on this host, with the dashboard's database. It prints the machine's token, once.", "ai-dashboard register-server gpu-box-01", "registers a machine"),
      step(
        "Start its agent",
        "Run this on the machine itself, with the token in a file that only the agent can read.",
        agentCommand("gpu-box-01"),
        "starts an agent",
      ),
    ),
    h("p", { class: "waiting", role: "status" }, h("span", { class: "dot" }), "This page shows the machine as soon as it is registered."),
  );
