// The order of cards and rows: the worst come first, but nothing moves away from a pointer or under the keyboard's focus.

/** Between two new orders for anything less than a change of severity, in milliseconds. */
const PAUSE = 10000;

/** How urgent a new order is. */
export const URGENCY = { none: 0, soon: 1, severity: 2, now: 3 };

/** Calls `arrange` when a new order is due; `place` is what holds the cards. */
export class Order {
  #arrange;
  #place;
  #isOver = false;
  #due = URGENCY.none;
  #last = 0;

  constructor(place, arrange) {
    this.#place = place;
    this.#arrange = arrange;
    // A finger leaves nothing behind that hovers.
    place.addEventListener("pointerenter", (event) => {
      this.#isOver = event.pointerType === "mouse";
    });
    place.addEventListener("pointerleave", () => {
      this.#isOver = false;
    });
  }

  get #isHeld() {
    return this.#isOver || this.#place.contains(document.activeElement);
  }

  ask(urgency) {
    this.#due = Math.max(this.#due, urgency);
    this.tick();
  }

  /** Lets time pass. */
  tick() {
    if (this.#due === URGENCY.none) return;
    if (this.#due < URGENCY.now && (this.#isHeld || (this.#due === URGENCY.soon && Date.now() - this.#last < PAUSE))) return;
    this.#due = URGENCY.none;
    this.#last = Date.now();
    this.#arrange();
  }
}

/** Puts elements into an order and moves only what is out of place; what had the focus keeps it. */
export function put(place, elements) {
  const focused = document.activeElement;
  elements.forEach((element, at) => {
    if (place.children[at] !== element) place.insertBefore(element, place.children[at] ?? null);
  });
  while (place.children.length > elements.length) place.lastElementChild.remove();
  if (document.activeElement !== focused && place.contains(focused)) focused.focus({ preventScroll: true });
}
