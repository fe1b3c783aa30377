// How the fleet is laid out: as cards, rows or a table, in groups by a label or in one.

import { h, icon } from "./dom.js";
import { fleetHeat } from "./fleetheat.js";
import { fleetTable } from "./fleettable.js";

const ICONS = {
  cards: icon("M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z"),
  rows: icon("M4 6h16", "M4 12h16", "M4 18h16"),
  table: icon("M4 5h16v14H4z", "M4 10h16", "M10 5v14"),
  heatmap: icon("M4 5h16", "M4 9.7h6", "M14 9.7h6", "M4 14.3h11", "M4 19h16"),
};

const labelOf = (one, key) => one.server.agent?.labels?.[key] ?? null;

/** Cards in their order, below a heading for each value of the label; those without it come last. */
export function headed(shown, key) {
  if (key === "") return shown.map((one) => one.element);
  const groups = new Map();
  for (const one of shown) {
    const value = labelOf(one, key);
    groups.set(value, [...(groups.get(value) ?? []), one]);
  }
  const byName = (one, other) => (one === null) - (other === null) || String(one).localeCompare(String(other), "en", { numeric: true });
  return [...groups.keys()].sort(byName).flatMap((value) => {
    const members = groups.get(value);
    return [
      h("h2", { class: "group" }, value === null ? `without ${key}` : `${key} ${value}`, h("span", { class: "number" }, String(members.length))),
      ...members.map((one) => one.element),
    ];
  });
}

function stored() {
  try {
    const name = localStorage.getItem("layout");
    return name in ICONS ? name : null;
  } catch {
    return null;
  }
}

/** The controls; `changed` is called when the fleet is to be arranged anew. */
export function fleetTools(asked, grid, changed) {
  const { table, columns } = fleetTable(asked.get("sort") ?? "", changed);
  const heat = fleetHeat();
  const groups = h("select", { "aria-label": "Group machines by a label" });
  let wanted = asked.get("group") ?? "";
  let layout = "cards";

  const buttons = Object.entries(ICONS).map(([name, drawing]) =>
    h("button", { class: "icon-button", type: "button", "data-layout": name, "aria-label": `Show as ${name}`, title: `Show as ${name}`, onclick: () => choose(name) }, drawing),
  );

  function lay(name) {
    layout = name;
    grid.hidden = name === "table" || name === "heatmap";
    heat.element.hidden = name !== "heatmap";
    grid.classList.toggle("rows", name === "rows");
    columns.hidden = name !== "table";
    groups.hidden = grid.hidden || groups.options.length < 2;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.layout === name));
  }

  function choose(name) {
    lay(name);
    try {
      localStorage.setItem("layout", name);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    changed();
  }

  groups.addEventListener("change", () => {
    wanted = groups.value;
    changed();
  });

  return {
    table,
    heat,
    element: h("div", { class: "fleet-layout" }, groups, columns, h("div", { class: "icon-group", role: "group", "aria-label": "Layout" }, buttons)),
    get layout() {
      return layout;
    },
    /** The label that groups are made by; empty for none. */
    get group() {
      return groups.value;
    },
    /** What the address keeps of it. */
    address: () => ({ group: groups.value, sort: table.order }),
    /** The layout that the viewer chose, else this one. */
    begin: (usual) => lay(stored() ?? usual),
    /** Offers the labels that there are. */
    labelled(servers) {
      const keys = [...new Set(servers.flatMap((server) => Object.keys(server.agent?.labels ?? {})))].sort();
      if (keys.join() === [...groups.options].slice(1).map((option) => option.value).join() && groups.options.length > 0) return;
      groups.replaceChildren(h("option", { value: "" }, "No groups"), ...keys.map((key) => h("option", { value: key }, `By ${key}`)));
      groups.value = keys.includes(wanted) ? wanted : "";
      groups.hidden = grid.hidden || keys.length === 0;
    },
  };
}
