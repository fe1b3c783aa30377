// Which stretch of time is shown, and where the cursor is: shared by all charts of the page, and kept in its address.

/** Minutes, and what the button says. */
export const RANGES = [
  [15, "15 min", "the last 15 minutes"],
  [60, "1 h", "the last hour"],
  [360, "6 h", "the last 6 hours"],
  [1440, "24 h", "the last 24 hours"],
  [4320, "3 d", "the last 3 days"],
  [10080, "7 d", "the last 7 days"],
  [20160, "14 d", "the last 14 days"],
];

const MINUTE = 60000;
const LONGEST = 20160 * MINUTE;
const SHORTEST = MINUTE;

/** Tells its listeners; each gets the value. */
const signal = () => {
  const listeners = new Set();
  return {
    on: (listener) => listeners.add(listener),
    tell: (value) => listeners.forEach((listener) => listener(value)),
  };
};

/** The window: either the last `range` minutes, moving along, or fixed from zooming and panning. Instants are milliseconds. */
export class View {
  #changed = signal();
  #offset = 0;

  /** `whole` is what is shown unless something else is asked for, where there is no present to follow. */
  constructor(search, whole = null) {
    this.whole = whole;
    this.#read(search);
    this.drawn = { from: this.from, to: this.to };
    // Back undoes a zoom, or a choice of a range.
    addEventListener("popstate", () => {
      this.#read(location.search);
      this.#changed.tell();
    });
  }

  #read(search) {
    const asked = new URLSearchParams(search);
    const [from, to] = [Number(asked.get("from")), Number(asked.get("to"))];
    this.range = RANGES.some(([minutes]) => minutes === Number(asked.get("range"))) ? Number(asked.get("range")) : 60;
    this.fixed = from > 0 && to - from >= SHORTEST && to - from <= LONGEST ? { from, to } : this.whole;
    this.end = this.now();
  }

  /** What is asked for is what is drawn from now on; until then charts and cursor go by what was drawn before. */
  settle() {
    this.drawn = { from: this.from, to: this.to };
  }

  /** The dashboard's clock, which the samples' times go by; the viewer's may be off. */
  now() {
    return Date.now() + this.#offset;
  }

  /** What the dashboard's clock says now. */
  synchronise(ms) {
    this.#offset = ms - Date.now();
    this.end = ms;
  }

  get follows() {
    return this.fixed === null;
  }

  /** Whether it shows what it shows unless something else is asked for. */
  get isUsual() {
    return this.fixed === this.whole;
  }

  get to() {
    return this.fixed?.to ?? this.end;
  }

  get from() {
    return this.fixed?.from ?? this.end - this.range * MINUTE;
  }

  /** The history to ask for: whole minutes, and the end where it is not now. */
  get request() {
    return { minutes: Math.min(20160, Math.ceil((this.to - this.from) / MINUTE)), to: this.fixed?.to ?? null };
  }

  onChange(listener) {
    this.#changed.on(listener);
  }

  /** Follows the last `minutes`, or shows the whole again. */
  follow(minutes) {
    this.range = minutes;
    this.fixed = this.whole;
    this.end = this.now();
    this.#choose();
  }

  /** Shows this stretch, widened to a minute and kept within 14 days and the present. */
  show(from, to) {
    const width = Math.min(LONGEST, Math.max(SHORTEST, to - from));
    const end = Math.min(this.now(), (from + to + width) / 2);
    this.fixed = { from: Math.round(end - width), to: Math.round(end) };
    this.#choose();
  }

  /** Shows less or more around an instant. */
  zoom(factor, around = (this.from + this.to) / 2) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  /** The address of this window as it is, for others to look at: what moves along is pinned down. */
  get link() {
    return `${location.origin}${location.pathname}?range=${this.range}&from=${Math.round(this.from)}&to=${Math.round(this.to)}`;
  }

  /** Moves by a part of the width; forward to the present means following again. */
  pan(part) {
    const width = this.to - this.from;
    if (part > 0 && this.to + width * part >= this.now() && Math.abs(width - this.range * MINUTE) < MINUTE) this.follow(this.range);
    else this.show(this.from + width * part, this.to + width * part);
  }

  #choose() {
    const query =
      this.fixed === null ? `?range=${this.range}` : this.fixed === this.whole ? "" : `?${this.whole === null ? `range=${this.range}&` : ""}from=${this.from}&to=${this.to}`;
    if (query !== location.search) history.pushState(null, "", location.pathname + query);
    this.#changed.tell();
  }
}

/** The instant under the pointer, in whichever chart it is; null for none. */
export class Cursor {
  #moved = signal();
  at = null;

  onMove(listener) {
    this.#moved.on(listener);
  }

  move(at) {
    if (this.at === at) return;
    this.at = at;
    this.#moved.tell(at);
  }
}
