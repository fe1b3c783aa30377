// The rules of alerts: what they are about, from when on, and for admins the fields to change that.

import { h } from "./dom.js";
import * as api from "./api.js";
import { outcome } from "./alertforms.js";

const UNITS = { "percent-sure": "% sure", "percent-used": "% used", "days-left": "days left", none: "" };

const NUMBERS = [
  ["threshold", "Threshold"],
  ["clear", "Over at"],
  ["for_minutes", "For, in minutes"],
  ["clear_minutes", "Over for, in minutes"],
];

const SET_BY = { default: "", page: "changed", file: "set by the file" };

/** What somebody wants otherwise than by default; overrides stay as they are. */
function changeOf(rule, row) {
  const change = rule.change.overrides ? { overrides: rule.change.overrides } : {};
  const enabled = row.querySelector("[name=enabled]").checked;
  const level = row.querySelector("[name=level]").value;
  if (enabled !== rule.default.enabled) change.enabled = enabled;
  if (level !== rule.default.level) change.level = level;
  for (const [name] of NUMBERS) {
    const input = row.querySelector(`[name=${name}]`);
    if (!input || input.value === "") continue;
    const value = Number(input.value);
    if (value !== rule.default[name]) change[name] = value;
  }
  // Where it is over follows the threshold unless it is said.
  if (change.threshold !== undefined && change.clear === undefined && Number(row.querySelector("[name=clear]").value) === rule.default.clear) change.clear = rule.default.clear;
  return change;
}

const overridesOf = (rule) =>
  (rule.change.overrides ?? []).map(({ match, ...change }) => {
    const words = Object.entries(change).map(([name, value]) => `${name.replace("_", " ")} ${value}`);
    return h("small", {}, `${match}: ${words.join(", ")}`);
  });

export function rules(isAdmin) {
  const body = h("tbody", {});
  const said = outcome();
  // Where several dashboards share their state, one of them looks.
  const by = h("p", { hidden: true });
  let known = [];
  let grouping = null;

  const cell = (rule, name, title) => {
    if (rule[name] === null) return h("td", {}, "–");
    if (!isAdmin || rule.set_by === "file") return h("td", {}, String(rule[name]));
    return h("td", {}, h("input", { type: "number", name, min: "0", step: "any", value: String(rule[name]), "aria-label": `${title}: ${rule.title}` }));
  };

  function row(rule) {
    const isFixed = !isAdmin || rule.set_by === "file";
    return h(
      "tr",
      { "data-rule": rule.name },
      h("th", { scope: "row" }, rule.title, h("small", {}, rule.name), overridesOf(rule)),
      h("td", {}, isFixed ? (rule.enabled ? "on" : "off") : h("input", { type: "checkbox", name: "enabled", checked: rule.enabled, "aria-label": `On: ${rule.title}` })),
      h(
        "td",
        {},
        isFixed
          ? rule.level
          : h("select", { name: "level", "aria-label": `Level: ${rule.title}` }, ["critical", "warning"].map((level) => h("option", { value: level, selected: rule.level === level }, level))),
      ),
      NUMBERS.map(([name, title]) => cell(rule, name, title)),
      h("td", {}, UNITS[rule.unit]),
      h("td", {}, SET_BY[rule.set_by]),
    );
  }

  function show(answer) {
    known = answer.rules;
    grouping = answer.grouping_set_by === "page" ? answer.grouping : null;
    body.replaceChildren(...known.map(row));
    by.hidden = answer.evaluated_by === undefined;
    by.textContent = answer.evaluated_by ? `Evaluated by ${answer.evaluated_by}.` : "No dashboard evaluates them at present.";
  }

  async function save(event) {
    event.preventDefault();
    const changes = {};
    for (const rule of known) {
      if (rule.set_by === "file") continue;
      const change = changeOf(rule, body.querySelector(`[data-rule="${rule.name}"]`));
      if (Object.keys(change).length > 0) changes[rule.name] = change;
    }
    try {
      show(await api.setAlertRules(grouping === null ? { rules: changes } : { rules: changes, grouping }));
      said.good("Saved.");
    } catch (error) {
      said.bad(error);
    }
  }

  const heads = ["Rule", "On", "Level", ...NUMBERS.map(([, title]) => title), "", "Set by"];
  const table = h(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Rules" },
    h("table", { class: "rules" }, h("caption", { class: "unseen" }, "Rules of alerts"), h("thead", {}, h("tr", {}, heads.map((text) => (text === "" ? h("td", {}) : h("th", { scope: "col" }, text))))), body),
  );
  const form = h("form", { onsubmit: save, novalidate: true }, table, isAdmin ? h("button", { class: "button strong", type: "submit" }, "Save the rules") : null, said.element);
  return {
    element: h("section", { class: "part", id: "rules" }, h("h2", {}, "Rules"), by, h("details", {}, h("summary", {}, "What raises an alert, and from when on"), form)),
    async read() {
      show(await api.alertRules());
    },
  };
}
