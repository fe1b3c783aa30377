// Building elements without markup in strings: text is always text, and the content security policy has nothing to forbid.

const SVG = "http://www.w3.org/2000/svg";

/** Puts attributes, listeners (on…) and children into an element. null and false attributes are left out. */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: h("p", { class: "x" }, "text", child). */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** An icon of strokes on a 24 × 24 grid. */
export const icon = (...paths) => s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, ...paths.map((d) => s("path", { d })));

export const byId = (id) => document.getElementById(id);

/** Writes text only where it differs, so that a screen reader and the layout are left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A bar of 0 to 100 per cent; null leaves it empty. From `high` on it warns. */
export function meter(high = Infinity) {
  const fillBar = h("i");
  const element = h("div", { class: "meter", "aria-hidden": "true" }, fillBar);
  return {
    element,
    set(percent) {
      fillBar.style.transform = `scaleX(${Math.max(0, Math.min(100, percent ?? 0)) / 100})`;
      element.classList.toggle("high", percent !== null && percent >= high);
    },
  };
}
