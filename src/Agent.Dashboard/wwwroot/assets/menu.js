// A button with something below it, which Escape, a click elsewhere, or leaving it with the keyboard closes.

import { h } from "./dom.js";

/** `summary` is what the button shows, with its attributes; `list` what opens. `opened` is called when it has. */
export function menu({ attributes, shows, list, style = "", opened = () => {} }) {
  const button = h("summary", attributes, shows);
  const element = h("details", { class: `menu ${style}` }, button, list);
  const elsewhere = (event) => {
    if (!element.contains(event.target)) element.open = false;
  };
  const close = () => {
    element.open = false;
    button.focus();
  };
  element.addEventListener("toggle", () => {
    if (element.open) {
      document.addEventListener("pointerdown", elsewhere);
      opened();
    } else document.removeEventListener("pointerdown", elsewhere);
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !element.open) return;
    event.preventDefault();
    close();
  });
  element.addEventListener("focusout", () => {
    // Not while a click is under way: what it is aimed at must not vanish below it.
    setTimeout(() => {
      const now = document.activeElement;
      if (now !== null && now !== document.body && !element.contains(now)) element.open = false;
    });
  });
  return { element, close };
}
