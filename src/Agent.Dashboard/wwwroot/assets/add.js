// Adding a machine, for admins: a name becomes the commands to paste there, and its first sample leads to its page.

import { h, write } from "./dom.js";
import { addServer } from "./api.js";
import { command } from "./welcome.js";

/** No slug is longer. */
const LONGEST = 64;

/** The slug for a name, by the rule of Registration.slugOf in the receiver. */
export const slugOf = (name) =>
  name.replace(/[^A-Za-z0-9_]+/g, "-").replace(/^-/, "").slice(0, LONGEST).replace(/-$/, "").toLowerCase() || "machine";

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

const TITLES = { terminal: "Start the agent in a terminal", service: "Or as the service of its package" };

/** The dialog, and what opens it. Nothing of it is seen until `admit` says that the viewer is an admin. */
export function adding() {
  const title = h("h1", { id: "add-title", tabindex: "-1" }, "Add a machine");
  const content = h("div");
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "add-title" }, title, content);
  const openers = [];
  let isAdmin = false;
  let waitsFor = null;

  const close = () => dialog.close();
  const closing = (text) => h("button", { class: "button", type: "button", onclick: close }, text);

  /** What is asked for: the name alone. */
  function ask() {
    waitsFor = null;
    write(title, "Add a machine");
    const input = h("input", { id: "add-name", name: "name", required: true, maxlength: "120", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-describedby": "add-slug add-error" });
    const slug = h("code");
    const under = h("p", { id: "add-slug", hidden: true }, "Its slug in addresses and commands will be ", slug, ".");
    const wrong = h("p", { id: "add-error", class: "wrong", role: "alert" });
    const button = h("button", { class: "button strong", type: "submit" }, "Add");
    const form = h(
      "form",
      {},
      h("div", { class: "field" }, h("label", { for: "add-name" }, "Name"), input),
      under,
      wrong,
      h("div", { class: "dialog-foot" }, closing("Cancel"), button),
    );
    input.addEventListener("input", () => {
      under.hidden = input.value.trim() === "";
      write(slug, slugOf(input.value));
      write(wrong, "");
      input.removeAttribute("aria-invalid");
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        tell(await addServer(input.value, slugOf(input.value)));
      } catch (error) {
        write(wrong, error.advice ? `${error.message} ${sentence(error.advice)}` : error.message);
        input.setAttribute("aria-invalid", "true");
        button.disabled = false;
        input.focus();
      }
    });
    content.replaceChildren(form);
    input.focus();
  }

  /** What is pasted on the machine. It stays until the next machine is added: the token is not shown again. */
  function tell(said) {
    waitsFor = said.server.slug;
    write(title, `Start the agent of ${said.server.name}`);
    content.replaceChildren(
      h("p", {}, "Paste this on the machine itself. The token in it is shown only here; a lost one is replaced with ", h("code", {}, `ai-dashboard register-server ${waitsFor} --rotate-token`), "."),
      ...said.commands.map((one) => h("section", { "data-where": one.where }, h("h2", {}, TITLES[one.where] ?? one.where), command(one.text, one.where === "service" ? "starts the agent as a service" : "starts the agent in a terminal"))),
      h("p", { class: "waiting", role: "status" }, h("span", { class: "dot" }), "Waiting for its first sample…"),
      h("div", { class: "dialog-foot" }, h("button", { class: "button", type: "button", onclick: ask }, "Add another"), closing("Close")),
    );
    // The commands are what comes next, for a screen reader as well.
    title.focus();
  }

  function open() {
    if (!dialog.isConnected) document.body.append(dialog);
    dialog.showModal();
    if (waitsFor === null) ask();
    else title.focus();
  }

  /** A sample of this server has come. */
  function came(slug) {
    if (slug !== waitsFor) return;
    waitsFor = null;
    if (dialog.open) location.assign(`/servers/${encodeURIComponent(slug)}`);
  }

  return {
    /** A button that opens it. */
    button(style) {
      const button = h("button", { class: style, type: "button", hidden: !isAdmin, onclick: open }, "Add a machine");
      openers.push(button);
      return button;
    },
    admit(role) {
      isAdmin = role === "admin";
      for (const button of openers) button.hidden = !isAdmin;
    },
    sample: came,
    /** The list of servers, for what a lost connection has not told. */
    servers(all) {
      for (const server of all) if (server.last_seen !== null) came(server.slug);
    },
  };
}
