// One machine of the fleet, as a card that is updated in place.

import { h, meter, write } from "./dom.js";
import * as format from "./format.js";
import { pill, setPill, shownAs } from "./labels.js";
import { spark } from "./spark.js";

/** "8 × H100": how many GPUs, when their names are not at hand. */
const gpus = (count) => (count === 0 ? "no GPU" : count === 1 ? "1 GPU" : `${count} GPUs`);

function what(server) {
  const info = server.agent?.system_info;
  const cores = info?.cpu_count_logical ? `${info.cpu_count_logical} CPUs` : null;
  const memory = info?.memory_total_bytes ? format.bytes(info.memory_total_bytes) : null;
  const known = [server.latest ? gpus(server.latest.gpu_count) : null, cores, memory].filter((part) => part !== null);
  return known.length > 0 ? known.join(" · ") : server.hostname || server.description || "";
}

const SENTENCES = {
  never: "Registered, but no sample has arrived yet. Start its agent with the token that was printed at registration.",
  disabled: "Disabled: samples from this machine are refused.",
};

function reasonOf(server) {
  if (server.state === "stale") return `No sample for ${format.span(server.age_seconds)}. Last known: ${server.latest?.reason ?? "nothing"}`;
  return SENTENCES[server.state] ?? server.latest?.reason ?? "";
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

const figureOf = (value) => (value === null || value === undefined ? ["–"] : [String(Math.round(value)), h("small", {}, "%")]);

/** A card: its element, `show(server)` with all there is, `sample(snapshot)` with a newer one, and `age(now)`. */
export function card(server) {
  const link = h("a", { href: `/servers/${encodeURIComponent(server.slug)}` });
  const machine = h("p", { class: "machine-what" });
  const label = pill(shownAs(server));
  const reason = h("p", { class: "reason" });
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
    reason,
    ...figures,
    h("div", { class: "machine-foot" }, name, age),
  );

  let current = server;

  const figuresOf = (latest) => {
    gpu.figure.replaceChildren(...figureOf(latest.top_gpu_util_percent));
    cpu.figure.replaceChildren(...figureOf(latest.cpu_usage_percent));
    for (const [part, value] of [[memory, latest.memory_percent], [disk, latest.disk_util_percent]]) {
      write(part.value, format.percent(value));
      part.bar.set(value);
    }
    const traffic = latest.network_rx_bytes_per_s === null ? null : latest.network_rx_bytes_per_s + (latest.network_tx_bytes_per_s ?? 0);
    write(network.value, format.rate(traffic));
  };

  const state = () => {
    const shown = shownAs(current);
    element.dataset.state = current.state;
    element.dataset.label = shown;
    setPill(label, shown);
    write(reason, reasonOf(current));
  };

  const api = {
    element,
    get server() {
      return current;
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
      state();
      api.age(0);
    },
    /** A sample that has just come; true if it changes how the machine is labelled. */
    sample(snapshot) {
      const before = shownAs(current);
      current = { ...current, state: "live", latest: { ...current.latest, ...snapshot }, age_seconds: 0 };
      figuresOf(current.latest);
      state();
      return shownAs(current) !== before || figures[0].hidden;
    },
    /** Lets time pass. */
    age(seconds) {
      if (current.age_seconds !== null) current.age_seconds += seconds;
      write(age, format.ago(current.age_seconds));
      if (current.state === "stale") write(reason, reasonOf(current));
    },
    /** Whether all the words occur in what the card tells. */
    matches(words) {
      const text = [
        current.slug, current.name, current.hostname, current.description, shownAs(current), what(current),
        current.agent?.system_info?.cpu_model, ...Object.entries(current.agent?.labels ?? {}).map(([key, value]) => `${key}=${value}`),
      ].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    },
  };
  api.show(server);
  return api;
}
