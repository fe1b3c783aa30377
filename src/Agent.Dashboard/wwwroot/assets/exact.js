// A window by its exact times: two instants in the viewer's zone.

import { h, icon, write } from "./dom.js";
import { menu } from "./menu.js";

const pad = (value) => String(value).padStart(2, "0");

/** An instant as an input of the type datetime-local has it. */
function local(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

/** The longest window that can be asked for, in milliseconds. */
const LONGEST = 20160 * 60000;

export function exactWindow(view) {
  const input = (id, text) => {
    const field = h("input", { type: "datetime-local", id, required: true });
    return [field, h("label", { for: id }, text, field)];
  };
  const [from, fromLabel] = input("window-from", "From");
  const [to, toLabel] = input("window-to", "To");
  const wrong = h("p", { class: "wrong", role: "alert" });
  const form = h("form", { class: "menu-list exact" }, fromLabel, toLabel, wrong, h("button", { class: "button strong", type: "submit" }, "Show"));
  const made = menu({
    attributes: { class: "icon-button", "aria-label": "Show exact times", title: "Show exact times" },
    shows: icon("M5 6h14v14H5z", "M5 10h14", "M9 3v4", "M15 3v4"),
    list: form,
    opened() {
      from.value = local(view.from);
      to.value = local(view.to);
      write(wrong, "");
      from.focus();
    },
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [begin, end] = [new Date(from.value).getTime(), new Date(to.value).getTime()];
    const said = !(begin < end) ? "The end has to come after the beginning." : end - begin > LONGEST ? "At most 14 days can be shown." : begin > view.now() ? "That is still to come." : "";
    write(wrong, said);
    if (said !== "") return;
    made.close();
    view.show(begin, end);
  });
  return made.element;
}
