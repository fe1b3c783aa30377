// Tables whose columns sort, whose rows are kept in place while their figures change.

import { h, write } from "./dom.js";
import { pill, setPill } from "./labels.js";
import { put } from "./order.js";

/** A cell with a label, made once and changed then. */
export function fillPill(cell, label) {
  if (label === null) cell.replaceChildren();
  else if (cell.firstElementChild) setPill(cell.firstElementChild, label);
  else cell.append(pill(label));
}

/** A cell with a link. */
export function fillLink(cell, text, href, under = "") {
  if (!cell.firstElementChild) cell.append(h("a", {}), h("span", {}));
  write(cell.firstElementChild, text);
  cell.firstElementChild.setAttribute("href", href);
  write(cell.lastElementChild, under);
}

/** Known values in order, what is not known last in either direction. */
function compare(one, other, direction) {
  const [isOne, isOther] = [one !== null && one !== undefined, other !== null && other !== undefined];
  if (!isOne || !isOther) return Number(isOther) - Number(isOne);
  return direction * (typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
}

/**
 * `columns` are { key, title, sort(row), cell(row) for a text or fill(cell, row), number?, head? }: `number` is set to the right, and its first click sorts
 * the greatest first; `head` is the row's header. `order` is a column's key, with "-" before it for the greatest first, or "" for the rows' own order.
 */
export class SortedTable {
  #columns;
  #keyOf;
  #rows = new Map();
  #body = h("tbody");
  #heads = new Map();
  #shown;

  constructor({ caption, columns, keyOf, order = "", shown = null, onOrder = () => {} }) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#shown = shown ?? new Set(columns.map((column) => column.key));
    this.order = order;
    const heads = columns.map((column) => {
      const button = h("button", { type: "button", class: "sorts", onclick: () => this.#sortBy(column, onOrder) }, column.title);
      const head = h("th", { scope: "col", class: column.number ? "number" : null }, button);
      this.#heads.set(column.key, head);
      return head;
    });
    this.element = h(
      "section",
      { class: "card table-card", tabindex: "0", role: "region", "aria-label": caption },
      h("table", { class: "sorted" }, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), this.#body),
    );
    this.#mark();
  }

  #sortBy(column, onOrder) {
    const first = column.number ? `-${column.key}` : column.key;
    const second = column.number ? column.key : `-${column.key}`;
    this.order = this.order === first ? second : this.order === second ? "" : first;
    this.#mark();
    onOrder(this.order);
  }

  #mark() {
    const key = this.order.replace("-", "");
    for (const [name, head] of this.#heads) {
      if (name === key) head.setAttribute("aria-sort", this.order.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.hidden = !this.#shown.has(name);
    }
  }

  /** Which columns are seen. */
  choose(shown) {
    this.#shown = shown;
    this.#mark();
    for (const { cells } of this.#rows.values()) cells.forEach((cell, at) => (cell.hidden = !shown.has(this.#columns[at].key)));
  }

  #made(key) {
    const cells = this.#columns.map((column) =>
      h(column.head ? "th" : "td", { scope: column.head ? "row" : null, class: column.number ? "number" : (column.wide ?? null), hidden: !this.#shown.has(column.key) }),
    );
    const made = { cells, element: h("tr", { "data-key": key }, cells) };
    this.#rows.set(key, made);
    return made;
  }

  /** Writes the figures of one row anew. */
  write(row) {
    const known = this.#rows.get(this.#keyOf(row));
    if (known === undefined) return;
    this.#columns.forEach((column, at) => {
      if (column.fill) column.fill(known.cells[at], row);
      else write(known.cells[at], column.cell(row));
    });
  }

  /** Shows these rows, sorted. */
  show(rows) {
    const column = this.#columns.find(({ key }) => key === this.order.replace("-", ""));
    const direction = this.order.startsWith("-") ? -1 : 1;
    const sorted = column ? [...rows].sort((one, other) => compare(column.sort(one), column.sort(other), direction)) : rows;
    const elements = sorted.map((row) => {
      const key = this.#keyOf(row);
      return (this.#rows.get(key) ?? this.#made(key)).element;
    });
    for (const row of rows) this.write(row);
    put(this.#body, elements);
    const kept = new Set(elements);
    for (const [key, { element }] of this.#rows) if (!kept.has(element)) this.#rows.delete(key);
  }
}
