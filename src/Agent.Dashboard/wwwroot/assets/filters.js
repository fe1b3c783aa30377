// The buttons above the fleet: all, what needs attention, and each label that occurs.

import { h, write } from "./dom.js";
import { LABELS, nameOf, needsAttention, severityOf } from "./labels.js";

const ORDER = ["stale", ...Object.keys(LABELS), "never", "disabled"];

/** Whether a judgement is among what a filter shows. */
export const fits = (chosen, judged) => chosen === "all" || (chosen === "attention" ? needsAttention(judged.severity) : judged.label === chosen);

/** What a filter is called in a sentence. */
export const filterName = (chosen) => (chosen === "attention" ? "needing attention" : nameOf(chosen));

/** The buttons; `choose(key)` is called when one is pressed, `show(all, chosen)` counts. */
export function filters(choose) {
  const element = h("div", { class: "filters", role: "group", "aria-label": "Show only machines that are" });
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.dataset.show);
  });

  const made = (key, text) => {
    const label = ORDER.includes(key) ? { "data-label": key, "data-severity": severityOf(key) } : {};
    return h("button", { class: "filter", type: "button", "data-show": key, ...label }, text, h("span", { class: "number" }));
  };

  return {
    element,
    show(all, chosen) {
      const counts = new Map();
      for (const { label } of all) counts.set(label, (counts.get(label) ?? 0) + 1);
      const wanted = [
        ["all", "All", all.length],
        ["attention", "Needs attention", all.filter((judged) => needsAttention(judged.severity)).length],
        ...ORDER.filter((label) => counts.has(label) || label === chosen).map((label) => [label, nameOf(label), counts.get(label) ?? 0]),
      ];
      const existing = new Map([...element.children].map((button) => [button.dataset.show, button]));
      const buttons = wanted.map(([key, text, count]) => {
        const button = existing.get(key) ?? made(key, text);
        write(button.lastElementChild, String(count));
        button.setAttribute("aria-pressed", String(key === chosen));
        return button;
      });
      const focused = document.activeElement;
      if (buttons.some((button, at) => element.children[at] !== button) || element.children.length !== buttons.length) {
        element.replaceChildren(...buttons);
        if (element.contains(focused)) focused.focus();
      }
      element.hidden = all.length < 2;
    },
  };
}
