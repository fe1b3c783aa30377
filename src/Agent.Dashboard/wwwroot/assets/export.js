// Taking a chart away: its figures as CSV, its picture as PNG.

import { h } from "./dom.js";
import { menu } from "./menu.js";

function save(name, address) {
  h("a", { href: address, download: name }).click();
}

/** A field of CSV. A text that a spreadsheet would take for a formula gets an apostrophe in front. */
function quoted(given) {
  const text = /^[=+@\t\r-]/.test(given) && Number.isNaN(Number(given)) ? `'${given}` : given;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lines of texts. */
export const csvLines = (rows) => rows.map((row) => `${row.map((one) => quoted(String(one ?? ""))).join(",")}\n`).join("");

/** One line for each point in the window: its time, and each series with its mean, least and greatest where there are several samples in it. */
export function csv(record, columns, { from, to }) {
  const heads = columns.flatMap(({ name, column }) => (column.max ? [name, `${name} least`, `${name} greatest`] : [name]));
  const lines = record.time.flatMap((at, index) => {
    if (at < from || at > to) return [];
    const values = columns.flatMap(({ column }) => (column.max ? [column.mean, column.min, column.max] : [column.mean]).map((of) => of[index] ?? ""));
    return [[new Date(at).toISOString(), ...values].join(",")];
  });
  return csvLines([["time", ...heads]]) + lines.map((line) => `${line}\n`).join("");
}

const nameOf = (chart) => `${location.pathname.split("/").at(-1) || "chart"}-${chart.spec.id}`;

/** The menu at the head of a chart. */
export function exportTools(chart) {
  const item = (text, action) => {
    const button = h("button", { type: "button", class: "button" }, text);
    button.addEventListener("click", () => {
      action();
      made.close();
    });
    return button;
  };
  const asCsv = item("Save as CSV", () => {
    const { record, spec, view } = chart;
    if (record === null) return;
    const text = spec.csv ? spec.csv(record, view.drawn) : csv(record, spec.columns(record), view.drawn);
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    save(`${nameOf(chart)}.csv`, address);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
  const asPicture = item("Save as PNG", () => {
    const picture = chart.picture;
    if (picture !== null) save(`${nameOf(chart)}.png`, picture);
  });
  const made = menu({
    style: "chart-menu",
    attributes: { "aria-label": `Save ${chart.spec.title}`, title: "Save this chart" },
    shows: "⋯",
    list: h("div", { class: "menu-list" }, chart.spec.csv || chart.spec.columns ? asCsv : null, asPicture),
  });
  return made.element;
}
