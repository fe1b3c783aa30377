// One chart over the shared axis of time: ECharts draws lines, areas and lanes; cursor, zoom (pick.js) and legend are this page's
// own, so that all charts move together without drawing anew.

import { h, write } from "./dom.js";
import { exportTools } from "./export.js";
import { clock, day, instant } from "./format.js";
import { gutter } from "./gutter.js";
import { colour } from "./labels.js";
import { mark } from "./marks.js";
import { listenTo } from "./pick.js";

/** Space around the plot in pixels; the cursor counts on it. What figures at the axis need at the left is the same for all charts. */
const INSET = { right: 14, top: 10, bottom: 24 };
const DAY = 86400000;

let library = null;

/**
 * The library: a classic script of a megabyte, which is asked for when the page's own figures stand, so that on a slow line they do not wait
 * for it. The first chart that is drawn asks for it at the latest.
 */
export function loadLibrary() {
  library ??= new Promise((resolve, reject) => {
    const failed = () => reject(new Error("The chart library could not be loaded."));
    document.head.append(
      h("script", { src: "/_content/Vizor.ECharts/js/vizor-echarts-bundle-min.js", onload: () => resolve(window.echarts), onerror: failed }),
    );
  });
  library.catch(() => {});
  return library;
}

/** Charts that are not on screen are drawn when they come near it. */
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) entry.target.chart.near(entry.isIntersecting);
  },
  { rootMargin: "240px 0px" },
);

const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.chart.resized();
});

/** An upper end that divides into four round steps. */
export function rounded(highest, steps = 4) {
  if (!(highest > 0)) return { max: 1, interval: 0.25 };
  const raw = highest / steps;
  const power = 10 ** Math.floor(Math.log10(raw));
  const interval = [1, 2, 2.5, 5, 10].find((step) => step * power >= raw * 0.999) * power;
  return { max: interval * Math.ceil((highest / interval) * 0.999), interval };
}

const timeLabel = (from, to) => (value) => {
  const at = new Date(value);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (midnight) return to - from > 2 * DAY ? day(value) : `{day|${day(value)}}`;
  return to - from > 4 * DAY && at.getMinutes() === 0 ? `${at.getHours()}:00` : clock(value, to - from < 4 * 60000);
};

/**
 * `spec` says what a chart is: { id, title, level?, note?, wide?, height, inset? } and
 * - `absent(record)`: true to leave the chart out,
 * - `pick(chart, at)`: optional, what a click or Enter at an instant does,
 * - `columns(record)`: optional, [{ name, column }] to be saved as CSV, or `csv(record, window)`, the text itself,
 * - `draw(record, view)`: { series, axis } as ECharts takes them, and `empty`: what to say over the plot, or null,
 * - `legend(chart)`: makes or completes the legend, `read(chart, at)`: writes into it what was at an instant (null: now),
 * - `sentence(chart, at)`: the same to be read out.
 */
export class TimeChart {
  #chart = null;
  #near = false;
  #drawn = null;
  #pending = false;

  constructor(spec, view, cursor) {
    Object.assign(this, { spec, view, cursor, record: null, marked: [] });
    this.canvas = h("div", { class: "canvas" });
    this.hair = h("div", { class: "hair", hidden: true }, h("span", {}));
    this.band = h("div", { class: "selection", hidden: true });
    this.plot = h(
      "div",
      { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "time chart", "aria-label": spec.title, "aria-describedby": "keys" },
      this.canvas,
      this.band,
      this.hair,
    );
    this.legend = h("div", { class: "legend" });
    this.empty = h("p", { class: "empty", hidden: true });
    this.element = h(
      "section",
      { class: `card chart ${spec.wide ? "wide" : ""}`, "data-chart": spec.id },
      h("div", { class: "chart-head" }, h(spec.level ?? "h3", {}, spec.title), spec.note ? h("p", {}, spec.note) : null, exportTools(this)),
      this.plot,
      this.legend,
    );
    this.plot.append(this.empty);
    this.#size();
    this.plot.chart = this;
    watcher.observe(this.plot);
    sizes.observe(this.plot);
    listenTo(this);
    cursor.onMove((at) => this.#point(at));
    addEventListener("themechange", () => this.#restyle());
    gutter.onChange(() => this.#restyle());
  }

  get inset() {
    return { left: gutter.width, ...INSET, ...this.spec.inset };
  }

  /** The picture that is drawn, as a data address; null where none is. */
  get picture() {
    return this.#chart?.getDataURL({ pixelRatio: 2, backgroundColor: colour("--surface") }) ?? null;
  }

  #size() {
    const height = typeof this.spec.height === "function" ? this.spec.height(this.record) : this.spec.height;
    this.plot.style.setProperty("height", `${height}px`);
  }

  /** Another record, or the same one with more in it, or another window. */
  update(record) {
    this.record = record;
    this.plot.dataset.samples = String(record.time.length);
    this.element.hidden = this.spec.absent?.(record) ?? false;
    if (this.element.hidden) return;
    this.#size();
    this.spec.legend(this);
    this.#point(this.cursor.at);
    mark(this, this.marked);
    this.#drawn = null;
    this.#draw();
  }

  /** Marks what happened, [{ at, tone, text }], until others are given. */
  mark(marks) {
    this.marked = marks;
    if (!this.element.hidden) mark(this, marks);
  }

  near(isNear) {
    this.#near = isNear;
    this.#draw();
  }

  resized() {
    if (this.#chart && this.plot.clientWidth > 0) {
      this.#chart.resize();
      this.#point(this.cursor.at);
      mark(this, this.marked);
    }
  }

  #restyle() {
    this.#drawn = null;
    this.#point(this.cursor.at);
    this.#draw();
  }

  /** Draws again because a series was shown or hidden. */
  redraw() {
    this.#restyle();
  }

  async #draw() {
    if (!this.#near || this.record === null || this.#drawn === this.record || this.#pending) return;
    if (this.#chart === null) {
      this.#pending = true;
      this.#say("Loading the chart …");
      try {
        const echarts = await loadLibrary();
        this.#chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      } catch (error) {
        this.#say(`${error.message} Reload the page to try again.`);
        return;
      } finally {
        this.#pending = false;
      }
    }
    this.#drawn = this.record;
    const { from, to } = this.view.drawn;
    const { series, axis, empty } = this.spec.draw(this.record, this.view.drawn, this);
    this.#say(empty ?? null);
    if (this.spec.inset?.left === undefined) gutter.widen(axis);
    const faint = colour("--ink-faint");
    const line = colour("--line");
    this.#chart.setOption(
      {
        animation: false,
        textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
        grid: { ...this.inset, outerBoundsMode: "none" },
        xAxis: {
          type: "time",
          min: from,
          max: to,
          splitNumber: Math.max(3, Math.min(8, Math.floor(this.plot.clientWidth / 110))),
          axisLine: { lineStyle: { color: line } },
          axisTick: { show: false },
          splitLine: { show: false },
          axisLabel: { color: faint, fontSize: 11.5, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: timeLabel(from, to), rich: { day: { color: colour("--ink-soft"), fontWeight: 600, fontSize: 11.5 } } },
        },
        yAxis: {
          axisLine: { show: false },
          axisTick: { show: false },
          splitLine: { lineStyle: { color: line } },
          ...axis,
          axisLabel: { color: faint, fontSize: 11.5, margin: 8, ...axis.axisLabel },
        },
        series,
      },
      { notMerge: true, lazyUpdate: false },
    );
    performance.mark("chart");
  }

  #say(text) {
    this.empty.hidden = text === null;
    write(this.empty, text ?? "");
    this.canvas.classList.toggle("without", text !== null);
  }

  // ---- Cursor, zoom, keys ----

  /** The instant below a pointer at this place of the window. */
  timeAt(clientX) {
    const box = this.plot.getBoundingClientRect();
    const width = box.width - this.inset.left - this.inset.right;
    const part = Math.max(0, Math.min(1, (clientX - box.left - this.inset.left) / width));
    const { from, to } = this.view.drawn;
    return from + part * (to - from);
  }

  pixelOf(at) {
    const width = this.plot.clientWidth - this.inset.left - this.inset.right;
    const { from, to } = this.view.drawn;
    return this.inset.left + ((at - from) / (to - from)) * width;
  }

  #point(at) {
    const { from, to } = this.view.drawn;
    const inside = at !== null && at >= from && at <= to;
    this.hair.hidden = !inside;
    if (inside) {
      const x = this.pixelOf(at);
      this.hair.style.setProperty("transform", `translateX(${x}px)`);
      this.hair.classList.toggle("left", x > this.plot.clientWidth - 130);
      write(this.hair.firstElementChild, to - from > DAY ? instant(at) : clock(at));
    }
    if (this.record !== null && !this.element.hidden) this.spec.read(this, inside ? at : null);
  }

  /** Marks what is being selected, or nothing. */
  select(one, other) {
    const [x0, x1] = [this.pixelOf(one), this.pixelOf(other)].sort((a, b) => a - b);
    this.band.hidden = x1 - x0 < 5;
    this.band.style.setProperty("transform", `translateX(${x0}px)`);
    this.band.style.setProperty("width", `${x1 - x0}px`);
  }

  /** Reads out what is at the cursor. */
  announce() {
    write(document.getElementById("reading"), `${instant(this.cursor.at)}: ${this.spec.sentence(this, this.cursor.at)}`);
  }
}
