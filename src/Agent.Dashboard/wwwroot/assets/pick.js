// What a mouse, fingers and keys do in a chart: move the cursor, look closer, move in time, go back, open what is there.

/** A finger or a mouse that moved less than this many pixels has clicked. */
const SLACK = 5;
/** Two taps within this many milliseconds go back. */
const DOUBLE = 320;

/** With a mouse: dragging selects, a click picks. */
function mouse(chart) {
  const { plot, view, cursor, spec } = chart;
  let start = null;

  plot.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const at = chart.timeAt(event.clientX);
    cursor.move(at);
    if (start !== null) chart.select(start.at, at);
  });
  plot.addEventListener("pointerleave", (event) => {
    if (start === null && event.pointerType !== "touch") cursor.move(null);
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" || event.button !== 0) return;
    start = { at: chart.timeAt(event.clientX), x: event.clientX };
    plot.setPointerCapture(event.pointerId);
  });
  const finish = (event) => {
    if (start === null || event.pointerType === "touch") return;
    const [from, at] = [start, chart.timeAt(event.clientX)];
    const isSelected = !chart.band.hidden;
    start = null;
    chart.band.hidden = true;
    if (event.type === "pointercancel") return;
    if (isSelected) view.show(Math.min(from.at, at), Math.max(from.at, at));
    else if (Math.abs(event.clientX - from.x) < SLACK) spec.pick?.(chart, at);
  };
  plot.addEventListener("pointerup", finish);
  plot.addEventListener("pointercancel", finish);
  if (!spec.pick) plot.addEventListener("dblclick", () => view.follow(view.range));
  return {
    get selects() {
      return start !== null;
    },
    stop() {
      start = null;
      chart.band.hidden = true;
    },
  };
}

/** With fingers: one moves in time, two look closer or wider, a tap sets the cursor and picks, two taps go back. Up and down is the page's. */
function touch(chart) {
  const { plot, view, cursor, spec } = chart;
  const fingers = new Map();
  let begun = null;
  let tapped = 0;

  const spread = () => {
    const [one, other] = [...fingers.values()];
    return { middle: (one + other) / 2, width: Math.max(20, Math.abs(one - other)) };
  };
  const begin = () => {
    const { from, to } = view.drawn;
    begun = { from, to, x: [...fingers.values()][0], pinch: fingers.size > 1 ? spread() : null, isMoved: begun?.isMoved ?? false, wanted: null };
  };
  /** The window that the fingers' places ask for. */
  const wanted = () => {
    const inside = plot.clientWidth - chart.inset.left - chart.inset.right;
    const perPixel = (begun.to - begun.from) / inside;
    if (begun.pinch === null) {
      const moved = ([...fingers.values()][0] - begun.x) * perPixel;
      return { from: begun.from - moved, to: begun.to - moved };
    }
    const now = spread();
    const left = plot.getBoundingClientRect().left + chart.inset.left;
    const width = Math.max(60000, ((begun.to - begun.from) * begun.pinch.width) / now.width);
    const at = begun.from + (begun.pinch.middle - left) * perPixel;
    const from = at - ((now.middle - left) / inside) * width;
    return { from, to: from + width };
  };

  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, event.clientX);
    plot.setPointerCapture(event.pointerId);
    begin();
  });
  plot.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId) || begun === null) return;
    fingers.set(event.pointerId, event.clientX);
    if (begun.pinch !== null || Math.abs(event.clientX - begun.x) > 2 * SLACK) begun.isMoved = true;
    if (!begun.isMoved) return;
    const { from, to } = wanted();
    // The picture moves with the fingers; what it lacks is asked for when they leave.
    const scale = (begun.to - begun.from) / (to - from);
    const shift = ((begun.from - from) / (to - from)) * (plot.clientWidth - chart.inset.left - chart.inset.right);
    chart.canvas.style.setProperty("transform-origin", `${chart.inset.left}px 0`);
    chart.canvas.style.setProperty("transform", `translateX(${shift}px) scaleX(${scale})`);
    begun.wanted = { from, to };
  });
  const finish = (event) => {
    if (!fingers.has(event.pointerId) || begun === null) return;
    const { isMoved, wanted: chosen } = begun;
    // The first finger that leaves ends it for all.
    fingers.clear();
    begun = null;
    chart.canvas.style.removeProperty("transform");
    if (event.type === "pointercancel") return;
    if (isMoved) {
      if (chosen) view.show(chosen.from, chosen.to);
      return;
    }
    const at = chart.timeAt(event.clientX);
    cursor.move(at);
    if (event.timeStamp - tapped < DOUBLE) view.follow(view.range);
    else spec.pick?.(chart, at);
    tapped = event.timeStamp;
  };
  plot.addEventListener("pointerup", finish);
  plot.addEventListener("pointercancel", finish);
}

function keys(chart, dragging) {
  const { plot, view, cursor, spec } = chart;
  plot.addEventListener("keydown", (event) => {
    const { record } = chart;
    if (record === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = cursor.at ?? view.drawn.to;
    const { from, to } = view.drawn;
    const step = (count) => {
      const start = record.nearest(at);
      const next = Math.max(0, Math.min(record.time.length - 1, (start < 0 ? record.time.length - 1 : start) + count));
      if (record.time.length > 0) cursor.move(Math.max(from, Math.min(to, record.time[next])));
    };
    const actions = {
      ArrowLeft: () => step(event.shiftKey ? -20 : -1),
      ArrowRight: () => step(event.shiftKey ? 20 : 1),
      Home: () => cursor.move(Math.max(from, record.time[0] ?? from)),
      End: () => cursor.move(record.time.at(-1) ?? to),
      PageUp: () => view.pan(-0.5),
      PageDown: () => view.pan(0.5),
      "+": () => view.zoom(0.5, at),
      "=": () => view.zoom(0.5, at),
      "-": () => view.zoom(2, at),
      Escape: () => (dragging.selects ? dragging.stop() : cursor.at !== null ? cursor.move(null) : view.follow(view.range)),
      ...(spec.pick ? { Enter: () => spec.pick(chart, at) } : {}),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
    if (cursor.at !== null) chart.announce();
  });
}

/** Makes a chart listen. */
export function listenTo(chart) {
  keys(chart, mouse(chart));
  touch(chart);
}
