// Maintenance and channels on the page of alerts.

import { h, write } from "./dom.js";
import * as api from "./api.js";
import { instant } from "./format.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export const field = (name, input) => h("label", { class: "alert-field" }, h("span", {}, name), input);

/** Where an outcome is said: read out, and red where it is an error. */
export function outcome() {
  const element = h("p", { class: "outcome", role: "status" });
  return {
    element,
    good: (text) => (element.classList.remove("wrong"), write(element, text)),
    bad: (error) => (element.classList.add("wrong"), write(element, [error.message, error.advice].filter(Boolean).join(" "))),
  };
}

const every = (weekly) => {
  const days = weekly.days.map((day) => DAY_NAMES[DAYS.indexOf(day)]).join(", ");
  return `${days} at ${weekly.at} UTC, for ${weekly.minutes} minutes`;
};

function described(silence) {
  const whom = silence.match.length > 0 ? silence.match.join(" or ") : "everything";
  const what = silence.rules.length > 0 ? `, only ${silence.rules.join(", ")}` : "";
  const from = silence.from ? `from ${instant(Date.parse(silence.from))} ` : "";
  const until = silence.until ? `until ${instant(Date.parse(silence.until))}` : "";
  return [`${whom}${what}`, `${from}${until}`.trim(), silence.weekly && every(silence.weekly)].filter(Boolean).join(" · ");
}

/** An instant as an input of that kind has it, in the viewer's zone. */
const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 16);

/** When nobody is told: the list, and for admins a form. */
export function maintenance(isAdmin) {
  const list = h("ul", { class: "alert-lines" });
  const none = h("p", { class: "hint" }, "There is no maintenance, now or planned.");
  const said = outcome();
  const match = h("input", { placeholder: "rack=r1, or a machine’s slug", maxlength: "300" });
  const comment = h("input", { maxlength: "200" });
  const from = h("input", { type: "datetime-local" });
  const until = h("input", { type: "datetime-local" });
  const at = h("input", { type: "time", value: "22:00" });
  const minutes = h("input", { type: "number", min: "1", max: "10080", value: "120" });
  const days = DAYS.map((day, index) => h("label", {}, h("input", { type: "checkbox", value: day }), DAY_NAMES[index]));
  const weekly = h("input", { type: "checkbox" });
  const weeklyPart = h("div", { class: "alert-fields", hidden: true }, h("fieldset", { class: "alert-days" }, h("legend", {}, "Days"), days), field("At (UTC)", at), field("For so many minutes", minutes));
  weekly.addEventListener("change", () => (weeklyPart.hidden = !weekly.checked));

  async function add(event) {
    event.preventDefault();
    const instantOf = (input) => (input.value === "" ? null : new Date(input.value).toISOString());
    const silence = { comment: comment.value, from: instantOf(from), until: instantOf(until) };
    // Labels of one machine are separated by commas; several machines by blanks.
    const targets = match.value.replace(/\s*,\s*/g, ",").split(/\s+/).filter(Boolean);
    if (targets.length > 0) silence.match = targets;
    if (weekly.checked) {
      silence.weekly = { days: days.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value), at: at.value, minutes: Number(minutes.value) };
    }
    try {
      await api.addSilence(silence);
      said.good("Added.");
      await read();
    } catch (error) {
      said.bad(error);
    }
  }

  async function remove(silence, button) {
    button.disabled = true;
    try {
      await api.removeSilence(silence.id);
      said.good("Removed.");
      await read();
      heading.focus();
    } catch (error) {
      button.disabled = false;
      said.bad(error);
    }
  }

  const item = (silence) =>
    h(
      "li",
      {},
      h("div", {}, h("b", {}, silence.comment || "Maintenance"), h("p", {}, described(silence)), silence.active ? h("p", { class: "alert-state" }, "Now: nobody is told") : null),
      silence.set_by === "file"
        ? h("span", { class: "from-file" }, "set by the file")
        : isAdmin
          ? h("button", { class: "button", type: "button", "aria-label": `Remove: ${silence.comment || described(silence)}`, onclick: (event) => remove(silence, event.currentTarget) }, "Remove")
          : null,
    );

  async function read() {
    const found = (await api.silences()).silences;
    list.replaceChildren(...found.map(item));
    none.hidden = found.length > 0;
  }

  const form = h(
    "form",
    { class: "alert-form", onsubmit: add },
    h("div", { class: "alert-fields" }, field("Machines (none: all)", match), field("What for", comment), field("From (none: now)", from), field("Until", until)),
    h("label", { class: "check" }, weekly, "only at weekly times"),
    weeklyPart,
    h("button", { class: "button strong", type: "submit" }, "Add maintenance"),
  );
  until.value = local(Date.now() + 2 * 3600000);
  const heading = h("h2", { tabindex: "-1" }, "Maintenance");
  return { element: h("section", { class: "part", id: "maintenance" }, heading, list, none, isAdmin ? h("details", {}, h("summary", {}, "Plan maintenance"), form) : null, said.element), read };
}

/** Where messages go, each with a test for admins. */
export function channelList(isAdmin) {
  const list = h("ul", { class: "alert-lines" });
  const none = h("p", { class: "hint" }, "Nobody is told: there are no channels. The file of --alerts has them.");
  const said = outcome();

  async function test(channel, button) {
    button.disabled = true;
    said.good(`Sending a test over ${channel.name} …`);
    try {
      await api.testChannel(channel.name);
      said.good(`${channel.name} has taken the test.`);
    } catch (error) {
      said.bad(error);
    } finally {
      button.disabled = false;
    }
  }

  const counts = (channel) => {
    const all = [["waiting", channel.waiting], ["delivered", channel.delivered], ["refused", channel.refused], ["dropped", channel.dropped]];
    return all.filter(([name, count]) => count > 0 || name === "delivered").map(([name, count]) => `${count} ${name}`).join(", ");
  };

  const item = (channel) =>
    h(
      "li",
      {},
      h(
        "div",
        {},
        h("b", {}, channel.name),
        h("p", {}, [channel.type, channel.destination, counts(channel)].filter(Boolean).join(" · ")),
        channel.last ? h("p", channel.last.good ? {} : { class: "wrong" }, `${instant(Date.parse(channel.last.at))}: ${channel.last.result || (channel.last.good ? "delivered" : "not delivered")}`) : null,
      ),
      isAdmin ? h("button", { class: "button", type: "button", "aria-label": `Send a test over ${channel.name}`, onclick: (event) => test(channel, event.currentTarget) }, "Send a test") : null,
    );

  return {
    element: h("section", { class: "part", id: "channels" }, h("h2", {}, "Channels"), list, none, said.element),
    async read() {
      const found = (await api.channels()).channels;
      list.replaceChildren(...found.map(item));
      none.hidden = found.length > 0;
    },
  };
}
