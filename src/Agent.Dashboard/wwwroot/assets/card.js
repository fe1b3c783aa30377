// One machine of the fleet, as a card that is updated in place.

import { h, meter, write } from "./dom.js";
import * as format from "./format.js";
import { judgementOf, nameOf, pill, setPill } from "./labels.js";
import { ofLast, traffic } from "./rates.js";
import { spark } from "./spark.js";
import { Steady } from "./steady.js";

/** "8 × H100", or how many GPUs where their names are not known. */
function gpus(server) {
  const names = format.counted((server.gpus ?? []).map((gpu) => gpu.name).filter(Boolean));
  const count = server.latest?.gpu_count ?? null;
  return names || (count === null ? null : count === 0 ? "no GPU" : count === 1 ? "1 GPU" : `${count} GPUs`);
}

function what(server) {
  const info = server.agent?.system_info;
  const cores = info?.cpu_count_logical ? `${info.cpu_count_logical} CPUs` : null;
  const memory = info?.memory_total_bytes ? format.bytes(info.memory_total_bytes) : null;
  const known = [gpus(server), cores, memory].filter((part) => part !== null);
  return known.length > 0 ? known.join(" · ") : server.hostname || server.description || "";
}

/** Who uses the machine: "ada: train.py, bob: eval.py". */
const users = (jobs) => (jobs ?? []).map((job) => (job.user ? `${job.user}: ${job.name}` : job.name)).join(", ");

const SENTENCES = {
  never: "Registered, but no sample has arrived yet. Start its agent with the token that was printed at registration.",
  disabled: "Disabled: samples from this machine are refused.",
};

function reasonOf(server, judged) {
  const last = server.verdict?.reason || server.latest?.reason || "nothing";
  if (server.state === "stale") return `No sample for ${format.span(server.age_seconds)}. Last known: ${last}`;
  return SENTENCES[server.state] ?? judged.reason;
}

const trend = (name, className) => {
  const line = spark();
  const figure = h("span", { class: "number" });
  return { line, figure, element: h("dl", { class: `trend ${className}` }, h("dt", {}, name), h("dd", {}, figure, line.element)) };
};

const small = (name, high) => {
  const value = h("dd", { class: "number" });
  const bar = high === null ? null : meter(high);
  return { value, bar, element: h("div", {}, h("dt", {}, name), value, bar && h("dd", {}, bar.element)) };
};

/** A figure in large digits, with its unit in small ones. */
function figureOf(value) {
  const [, digits, unit] = /^([^%]*)(%?)$/.exec(format.percent(value));
  return unit === "" ? [digits] : [digits, h("small", {}, unit)];
}

/** A card: its element, `show(server)` with all there is, `sample(snapshot)` with a newer one, and `age(seconds)`. `judged` is what it is shown as. */
export function card(server) {
  const link = h("a", { href: `/servers/${encodeURIComponent(server.slug)}` });
  const machine = h("p", { class: "machine-what" });
  const steady = new Steady();
  let judged = steady.take(judgementOf(server));
  const label = pill(judged.label);
  const reason = h("p", { class: "reason" });
  const fix = h("p", { class: "fix" });
  const who = h("p", { class: "who" });
  const gpu = trend("GPU, busiest", "gpu");
  const cpu = trend("CPU", "cpu");
  const memory = small("Memory", 88);
  const disk = small("Disk", 85);
  const network = small("Network", null);
  const name = h("span");
  const age = h("time", {});
  const figures = [h("div", { class: "pair" }, gpu.element, cpu.element), h("dl", { class: "small" }, memory.element, disk.element, network.element)];
  const element = h(
    "article",
    { class: "card machine", "data-slug": server.slug },
    h("div", { class: "machine-top" }, h("div", { class: "machine-names" }, h("h2", {}, link), machine), label),
    h("div", { class: "why-text" }, reason, fix),
    who,
    ...figures,
    h("div", { class: "machine-foot" }, name, age),
  );

  let current = server;

  const figuresOf = (newest) => {
    const latest = ofLast(newest);
    gpu.figure.replaceChildren(...figureOf(latest.top_gpu_util_percent));
    cpu.figure.replaceChildren(...figureOf(latest.cpu_usage_percent));
    for (const [part, value] of [[memory, latest.memory_percent], [disk, latest.disk_util_percent]]) {
      write(part.value, format.percent(value));
      part.bar.set(value);
    }
    write(network.value, format.rate(traffic(latest)));
  };

  const state = () => {
    judged = steady.take(judgementOf(current));
    element.dataset.state = current.state;
    element.dataset.label = judged.label;
    element.dataset.severity = judged.severity;
    setPill(label, judged.label);
    write(reason, reasonOf(current, judged));
    write(fix, judged.fix ?? "");
    write(who, users(current.jobs));
    fix.hidden = fix.textContent === "";
    who.hidden = who.textContent === "";
  };

  const api = {
    element,
    get server() {
      return current;
    },
    get judged() {
      return judged;
    },
    show(next) {
      current = next;
      write(link, next.name || next.slug);
      write(machine, what(next));
      write(name, next.hostname || next.agent?.hostname || next.slug);
      for (const figure of figures) figure.hidden = next.latest === null;
      if (next.latest !== null) {
        figuresOf(next.latest);
        gpu.line.set(next.spark.gpu);
        cpu.line.set(next.spark.cpu);
      }
      api.age(0);
    },
    /** A sample that has just come; true if more has to be asked for, as with the first one. */
    sample(snapshot) {
      const wasLive = current.state === "live";
      const { verdict = current.verdict, jobs = current.jobs } = snapshot;
      current = { ...current, state: "live", verdict, jobs, latest: { ...current.latest, ...snapshot }, age_seconds: 0 };
      figuresOf(current.latest);
      state();
      return !wasLive || figures[0].hidden;
    },
    /** Lets time pass. */
    age(seconds) {
      if (current.age_seconds !== null) current.age_seconds += seconds;
      write(age, format.ago(current.age_seconds));
      state();
    },
    /** Whether all the words occur in what the card tells. */
    matches(words) {
      const text = [
        current.slug, current.name, current.hostname, current.description, judged.label, nameOf(judged.label), what(current), users(current.jobs),
        current.agent?.system_info?.cpu_model, ...Object.entries(current.agent?.labels ?? {}).map(([key, value]) => `${key}=${value}`),
      ].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    },
  };
  api.show(server);
  return api;
}
