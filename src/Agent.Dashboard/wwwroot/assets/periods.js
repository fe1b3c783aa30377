// Choices above a list: how far it goes back, whose rows it shows.

import { h } from "./dom.js";

/** Minutes, and what they are called. */
export const PERIODS = [
  ["60", "the last hour"],
  ["1440", "the last 24 hours"],
  ["10080", "the last 7 days"],
  ["20160", "the last 14 days"],
];

/** A labelled choice. With `fixed` it has these; else "all", and what is offered later. */
export function selection(name, value, changed, fixed = null) {
  const options = (all) => all.map(([key, text]) => h("option", { value: key }, text));
  const select = h("select", {}, fixed === null ? options([["", "all"], ...(value === "" ? [] : [[value, value]])]) : options(fixed));
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  select.addEventListener("change", changed);
  return {
    element: h("label", {}, name, select),
    get value() {
      return select.value;
    },
    /** Offers these beside "all", and what is chosen even where it does not occur any more. */
    offer(all) {
      const chosen = select.value;
      const wanted = [["", "all"], ...all, ...(chosen === "" || all.some(([key]) => key === chosen) ? [] : [[chosen, chosen]])];
      if (wanted.map(([, text]) => text).join("\n") === [...select.options].map((option) => option.text).join("\n")) return;
      select.replaceChildren(...options(wanted));
      select.value = chosen;
    },
  };
}
