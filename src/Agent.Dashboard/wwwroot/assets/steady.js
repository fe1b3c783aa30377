// Labels that do not flicker: the core holds verdicts steady, the rule that looks at single samples does not.

/** A label of single samples is shown once nothing else was said for so many milliseconds. */
const HOLD = 10000;

/** What is shown of judgements that follow each other. */
export class Steady {
  #shown = null;
  #next = null;
  #since = 0;

  /** Takes the newest judgement, at `now` in milliseconds, and gives the one to show. */
  take(judged, now = Date.now()) {
    const shown = this.#shown;
    if (shown === null || judged.settled || shown.settled || judged.label === shown.label) {
      this.#shown = judged;
      this.#next = null;
    } else if (this.#next?.label !== judged.label) {
      this.#next = judged;
      this.#since = now;
    } else if (now - this.#since >= HOLD) {
      this.#shown = judged;
      this.#next = null;
    }
    return this.#shown;
  }
}
