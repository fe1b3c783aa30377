// The panel that says why: what holds a machine back now or held it back then, who says so, what would change it and what to try.

import { h, icon, write } from "./dom.js";
import * as api from "./api.js";
import { wouldChange, witnesses } from "./evidence.js";
import { fixesOf, sentence } from "./fixes.js";
import { instant, percent, span } from "./format.js";
import { judgementOf, meaningOf, nameOf, pill } from "./labels.js";

const CLOSE = icon("M6 6l12 12", "M18 6L6 18");

/** How sure a verdict is, in words. */
function sureness({ label, confidence }) {
  if (confidence === null || confidence === undefined) return null;
  if (label === "gpu-fault") return "reported by the GPU or its driver";
  const words = confidence >= 0.85 ? "very likely" : confidence >= 0.7 ? "likely" : confidence >= 0.5 ? "probable" : "a guess";
  return `${words} (${percent(confidence * 100)} sure)`;
}

function since({ since: begun }, at) {
  if (!begun) return null;
  const seconds = (at - Date.parse(begun)) / 1000;
  return `${instant(Date.parse(begun))}${seconds >= 1 ? `, for ${span(seconds)}` : ""}`;
}

const SOURCES = { dashboard: "the dashboard, from its samples alone: this agent sends no verdict", rule: "the rule that looks at one sample; there are no witnesses" };

/** All about one verdict. `places` is where its charts are, `pid` the topmost process of its job, or null. */
function about(verdict, at, places, pid) {
  const evidence = verdict.evidence ?? [];
  const ruledOut = verdict.ruled_out ?? [];
  const limits = evidence.filter((one) => one.limit !== null && one.limit !== undefined);
  const fixes = fixesOf(verdict, pid);
  const facts = [
    ["Since", since(verdict, at)],
    ["How sure", sureness(verdict)],
    ["Close behind", verdict.second ? nameOf(verdict.second) : null],
    ["Said by", SOURCES[verdict.source] ?? null],
  ].filter(([, text]) => text !== null);
  return [
    h("p", { class: "why-meaning" }, meaningOf(verdict.label)),
    verdict.reason ? h("p", { class: "why-reason" }, verdict.reason) : null,
    facts.length > 0 ? h("dl", { class: "why-facts" }, facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))) : null,
    fixes.length > 0 ? h("section", {}, h("h3", {}, "What to try"), h("ol", { class: "fixes" }, fixes.map((text) => h("li", {}, h("p", {}, sentence(text)))))) : null,
    evidence.length > 0 ? h("section", {}, witnesses("What decided", evidence, places)) : null,
    limits.length > 0 && fixes.length > 0 ? h("section", {}, h("h3", {}, "What would change it"), h("ul", { class: "changes" }, limits.map((one) => h("li", {}, wouldChange(one))))) : null,
    ruledOut.length > 0 ? h("section", {}, witnesses("Ruled out", ruledOut, places)) : null,
  ];
}

/** What is known of a job that the agent or the history names. */
const jobName = (job) => [job.user, job.name].filter(Boolean).join(": ") || job.id;

/**
 * The panel. `fallback(at)` says what the strip knows of an instant, for dashboards that keep no verdicts; `places` has `has(id)` and `go(id)` of charts.
 */
export function whyPanel(slug, { fallback, places }) {
  const title = h("h2", { id: "why-title", tabindex: "-1" }, "Why");
  const when = h("p", { class: "why-when" });
  const content = h("div", { class: "why-content" });
  const shut = h("button", { type: "button", class: "icon-button", "aria-label": "Close", title: "Close (Escape)" }, CLOSE);
  const element = h("div", { class: "why", role: "dialog", "aria-labelledby": "why-title", hidden: true }, h("div", { class: "why-head" }, h("div", {}, title, when), shut), content);
  let opener = null;
  let asking = null;

  function close({ returnFocus = true } = {}) {
    if (element.hidden) return;
    asking?.abort();
    element.hidden = true;
    document.body.classList.remove("with-why");
    if (returnFocus) opener?.focus();
    opener = null;
  }

  const inside = {
    has: places.has,
    go(id) {
      // A phone has no room for both.
      if (matchMedia("(max-width: 1099px)").matches) close({ returnFocus: false });
      places.go(id);
    },
  };

  /** The machine's verdict, with its jobs below, or that of one job. */
  function show({ verdict, jobs }, at, chosen = null) {
    const shown = chosen === null ? verdict : chosen.verdict;
    title.replaceChildren(pill(shown.label));
    write(when, [chosen === null ? null : jobName(chosen), at === null ? "now" : instant(at)].filter(Boolean).join(" · "));
    const others = chosen === null ? jobs.filter((job) => job.verdict) : [];
    content.replaceChildren(
      ...[
        chosen === null ? null : h("button", { type: "button", class: "button", onclick: () => (show({ verdict, jobs }, at), title.focus()) }, "Back to the machine"),
        ...about(shown, at ?? Date.now(), inside, chosen?.root_pid ?? null),
        others.length === 0
          ? null
          : h(
              "section",
              {},
              h("h3", {}, at === null ? "Jobs" : "Jobs at that time"),
              h(
                "ul",
                { class: "why-jobs" },
                others.map((job) => h("li", {}, h("span", {}, jobName(job)), pill(job.verdict.label, "button", { type: "button", onclick: () => (show({ verdict, jobs }, at, job), title.focus()) }))),
              ),
            ),
      ].filter((part) => part !== null),
    );
  }

  async function read(at, signal) {
    if (at !== null) {
      const said = await api.verdictAt(slug, at, signal);
      return said?.verdict ? { verdict: said.verdict, jobs: said.jobs ?? [] } : { verdict: fallback(at), jobs: said?.jobs ?? [] };
    }
    const { server, snapshot } = await api.latest(slug, signal);
    const rule = judgementOf({ ...server, state: "live" });
    return { verdict: snapshot?.verdict ?? (rule.settled ? rule : { ...rule, source: "rule" }), jobs: snapshot?.jobs ?? [] };
  }

  /** Opens it for an instant in milliseconds, or for the present (null): for the machine, or one of its jobs by its id. */
  async function open(at, from, job = null) {
    asking?.abort();
    const mine = (asking = new AbortController());
    opener = element.hidden ? from : opener;
    element.hidden = false;
    document.body.classList.add("with-why");
    title.replaceChildren("Why");
    write(when, at === null ? "now" : instant(at));
    content.replaceChildren(h("p", { role: "status" }, "Reading …"));
    title.focus({ preventScroll: true });
    try {
      const said = await read(at, mine.signal);
      if (mine.signal.aborted) return;
      if (said.verdict === null) content.replaceChildren(h("p", {}, "Nothing is known of this moment."));
      else show(said, at, said.jobs.find((one) => one.id === job && one.verdict) ?? null);
    } catch (error) {
      if (mine.signal.aborted) return;
      content.replaceChildren(h("p", {}, error.message), error.advice ? h("p", {}, error.advice) : "", h("button", { type: "button", class: "button", onclick: () => open(at, opener, job) }, "Try again"));
    }
  }

  shut.addEventListener("click", () => close());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || element.hidden || event.defaultPrevented) return;
    if (!element.contains(document.activeElement) && document.activeElement !== document.body) return;
    event.preventDefault();
    close();
  });
  return { element, open, close };
}
