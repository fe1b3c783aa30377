// A sparkline: the last hour of one figure, 0 to 100 per cent, as one path.

import { s } from "./dom.js";

const HEIGHT = 32;

/** Runs of known values as one line each; a gap stays a gap. */
function runsOf(values) {
  const runs = [];
  let run = [];
  values.forEach((value, at) => {
    if (value === null) {
      if (run.length > 0) runs.push(run);
      run = [];
    } else {
      run.push([at, HEIGHT - 1 - (Math.min(100, Math.max(0, value)) / 100) * (HEIGHT - 2)]);
    }
  });
  return run.length > 0 ? [...runs, run] : runs;
}

const line = (run) => run.map(([x, y], at) => `${at === 0 ? "M" : "L"}${x} ${y.toFixed(1)}`).join("");

/** The sparkline, and `set(values)` to give it others. */
export function spark() {
  const under = s("path", { class: "under" });
  const stroke = s("path");
  const element = s("svg", { class: "spark", viewBox: `0 0 59 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, under, stroke);
  return {
    element,
    set(values) {
      element.setAttribute("viewBox", `0 0 ${Math.max(1, values.length - 1)} ${HEIGHT}`);
      const runs = runsOf(values);
      stroke.setAttribute("d", runs.map(line).join(""));
      under.setAttribute("d", runs.map((run) => `${line(run)}L${run.at(-1)[0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z`).join(""));
    },
  };
}
