// The sections of what is kept beside the main charts: each is read when it comes near the screen, and again when another time is shown.

import * as api from "./api.js";
import { TimeChart } from "./chart.js";
import { detailPanels } from "./detailpanels.js";
import { h } from "./dom.js";
import { Record } from "./record.js";

/** While the present is followed, what is on screen is read again after so long. */
const REFRESH = 20000;

class Section {
  #asking = null;
  #read = null;
  #at = 0;

  constructor(slug, view, cursor, [kind, title, specs]) {
    Object.assign(this, { slug, view, kind, near: false });
    this.charts = specs.map((spec) => new TimeChart(spec, view, cursor));
    this.note = h("p", { class: "hint", hidden: true });
    this.element = h("section", { class: "part", "data-details": kind, hidden: true }, h("h2", {}, title), h("div", { class: "charts" }, this.charts.map((chart) => chart.element)), this.note);
  }

  /** Whether the machine has any of them, and for which history that is asked. */
  show(count, interval, asked) {
    this.interval = interval;
    this.asked = asked;
    this.element.hidden = count === 0;
    this.read();
  }

  /** Reads what is shown, unless it was read already. */
  async read() {
    if (!this.near || this.element.hidden || this.#read === this.asked) return;
    this.#read = this.asked;
    this.#at = Date.now();
    this.#asking?.abort();
    const mine = (this.#asking = new AbortController());
    try {
      const { minutes, to } = this.view.request;
      const json = await api.details(this.slug, this.kind, minutes, to, mine.signal);
      if (!mine.signal.aborted) this.draw(new Record(json, [], this.interval));
    } catch {
      // The main history says what is wrong; this is tried again with it.
      if (!mine.signal.aborted) this.#read = null;
    }
  }

  draw(record) {
    for (const chart of this.charts) chart.update(record);
    const shown = this.charts.map((chart) => chart.element).filter((element) => !element.hidden);
    shown.forEach((element, at) => element.classList.toggle("wide", (at === shown.length - 1 && at % 2 === 0) || element.dataset.chart === "cores"));
    this.note.hidden = shown.length > 0 && record.leftOut === 0;
    this.note.textContent = shown.length === 0 ? "Nothing of this in this time range." : `${record.leftOut} more are not shown.`;
  }

  refresh() {
    if (Date.now() - this.#at < REFRESH) return;
    this.#read = null;
    this.read();
  }
}

/** All sections of a machine. */
export function detailSections(slug, view, cursor) {
  const sections = detailPanels().map((panel) => new Section(slug, view, cursor, panel));
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const section = sections.find(({ element }) => element === entry.target);
        section.near = entry.isIntersecting;
        section.read();
      }
    },
    { rootMargin: "400px 0px" },
  );
  for (const { element } of sections) watcher.observe(element);
  setInterval(() => {
    if (view.follows && document.visibilityState === "visible") for (const section of sections) section.refresh();
  }, 5000);
  return {
    elements: sections.map(({ element }) => element),
    charts: sections.flatMap(({ charts }) => charts),

    /** A main history was read: `counts` are the devices of each kind. */
    show(counts, interval) {
      const asked = {};
      for (const section of sections) section.show(counts[section.kind] ?? 0, interval, asked);
    },
  };
}
