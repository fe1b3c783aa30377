// What the machine page says in words and numbers: the head, the tiles, the tables of GPUs and file systems.

import { h, meter, write } from "./dom.js";
import * as format from "./format.js";
import { inWords, telling } from "./lanes.js";
import { judgementOf, meaningOf, nameOf, setPill } from "./labels.js";
import { ofLast, traffic } from "./rates.js";
import { Steady } from "./steady.js";

const fact = (name, value) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value));

/** What changes rarely: the machine's make. */
function factsOf(server, sample) {
  const agent = server.agent ?? {};
  const info = agent.system_info ?? {};
  const cores = [info.cpu_count_physical && `${info.cpu_count_physical} cores`, info.cpu_count_logical && `${info.cpu_count_logical} threads`].filter(Boolean);
  const labels = Object.entries(agent.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const booted = info.boot_time ? (Date.now() - Date.parse(info.boot_time)) / 1000 : null;
  return [
    fact("GPUs", format.counted((sample?.gpus ?? []).map((gpu) => gpu.name || "unnamed GPU"))),
    fact("CPU", [info.cpu_model, cores.join(", ")].filter(Boolean).join(" · ")),
    fact("Memory", info.memory_total_bytes ? `${format.bytes(info.memory_total_bytes)}${info.swap_total_bytes ? `, swap ${format.bytes(info.swap_total_bytes)}` : ""}` : null),
    fact("System", [info.os_name, info.os_release, info.machine].filter(Boolean).join(" ")),
    fact("Uptime", booted === null ? null : format.span(booted)),
    fact("Agent", agent.version ? `${agent.version}${server.expected_interval_seconds ? `, every ${format.plain(Math.round(server.expected_interval_seconds * 10) / 10)} s` : ""}` : null),
    fact("Labels", labels.join(" ")),
    fact("Address", info.interfaces?.map((one) => one.ipv4 && `${one.name} ${one.ipv4}`).filter((text) => text && !text.startsWith("lo ")).slice(0, 3).join(", ")),
  ].filter(Boolean);
}

/** The head of the page: name, label, reason, age, facts. `why(opener)` opens the reasons behind the label. */
export function head(slug, why) {
  const name = h("h1", {}, slug);
  const under = h("p", { class: "machine-what" });
  const label = h("button", { class: "label", type: "button", "aria-haspopup": "dialog" });
  const reason = h("p", { class: "head-reason" });
  const fix = h("p", { class: "fix" });
  const age = h("time");
  const facts = h("dl", { class: "facts" });
  // On a phone the figures come first.
  const about = h("details", { class: "about", open: matchMedia("(min-width: 721px)").matches }, h("summary", {}, "About this machine"), facts);
  const element = h(
    "header",
    { class: "machine-head" },
    h("nav", { "aria-label": "Breadcrumb" }, h("a", { href: "/" }, "Fleet"), h("span", { "aria-hidden": "true" }, "/"), h("span", { "aria-current": "page" }, slug)),
    h("div", { class: "head-row" }, h("div", {}, name, under), h("div", { class: "head-state" }, h("div", {}, label, age), reason, fix)),
    about,
  );
  label.addEventListener("click", () => why(label));
  const steady = new Steady();
  let current = null;
  let past = null;

  const present = () => {
    const judged = steady.take(judgementOf(current));
    const said = {
      never: "Registered, but no sample has arrived yet.",
      disabled: "Disabled: samples from this machine are refused.",
      stale: `No sample for ${format.span(current.age_seconds)}. Is the agent running? ai-dashboard-agent --doctor finds out.`,
    };
    return { label: judged.label, reason: said[current.state] ?? judged.reason, fix: judged.fix ?? "", when: format.ago(current.age_seconds) };
  };
  const state = () => {
    if (current === null) return;
    const shown = past ?? present();
    setPill(label, shown.label);
    label.disabled = ["never", "disabled", "none"].includes(shown.label);
    element.dataset.state = past === null ? current.state : "past";
    write(reason, shown.reason);
    write(fix, shown.fix);
    fix.hidden = shown.fix === "";
    write(age, shown.when);
  };
  return {
    element,
    get server() {
      return current;
    },
    show(server, sample) {
      current = server;
      write(name, server.name || server.slug);
      write(under, [server.hostname || server.agent?.hostname, server.description].filter(Boolean).join(" · "));
      facts.replaceChildren(...factsOf(server, sample));
      document.title = `${server.name || server.slug} · ai-dashboard`;
      state();
    },
    sample(snapshot) {
      const { verdict = current.verdict } = snapshot;
      current = { ...current, state: "live", verdict, age_seconds: 0, latest: { ...current.latest, ...snapshot } };
      state();
    },
    /** Follows a window that is over, of which `most` is { label, share, reason }, or the present again for null. */
    follow(window, most) {
      past =
        window === null
          ? null
          : most === null
            ? { label: "none", reason: "No samples in this time range.", fix: "", when: window }
            : { label: most.label, reason: `${nameOf(most.label)} for ${format.percent(most.share)} of the time. ${most.reason ?? meaningOf(most.label)}`, fix: "", when: window };
      state();
    },
    age(seconds) {
      if (current === null || current.age_seconds === null) return;
      current.age_seconds += seconds;
      state();
    },
  };
}

const SUM = (snapshot, key) => (snapshot.gpus ?? []).reduce((sum, gpu) => (gpu[key] === null || gpu[key] === undefined ? sum : (sum ?? 0) + gpu[key]), null);

/** [name, value, what stands under it] of a snapshot. */
const TILES = [
  ["GPU, busiest", (s) => format.percent(s.top_gpu_util_percent), (s) => (s.gpu_count > 1 ? `mean ${format.percent(s.avg_gpu_util_percent)}` : s.gpu_count === 0 ? "no GPU" : "")],
  ["GPU memory", (s) => format.percent(s.top_gpu_memory_percent), (s) => (s.gpu_count > 1 ? "the fullest" : "")],
  ["GPU power", (s) => format.watts(SUM(s, "power_w")), (s) => (SUM(s, "power_limit_w") === null ? "" : `of ${format.watts(SUM(s, "power_limit_w"))}`)],
  ["CPU", (s) => format.percent(s.cpu_usage_percent), (s) => `I/O wait ${format.percent(s.cpu_iowait_percent)}`],
  ["Memory", (s) => format.percent(s.memory_percent), (s) => `swap ${format.percent(s.swap_percent)}`],
  ["Disk, busiest", (s) => format.percent(s.disk_util_percent), (s) => `${format.rate(s.disk_read_bytes_per_s)} read, ${format.rate(s.disk_write_bytes_per_s)} written`],
  ["Network", (s) => format.rate(traffic(s)), (s) => `${format.rate(s.network_rx_bytes_per_s)} received, ${format.rate(s.network_tx_bytes_per_s)} sent`],
];

export function tiles() {
  const made = TILES.map(([name, value, under]) => {
    const figure = h("dd", { class: "number" });
    const small = h("dd", { class: "tile-under" });
    return { value, under, figure, small, element: h("div", { class: "tile" }, h("dt", {}, name), figure, small) };
  });
  const figures = h("dl", { class: "tiles" }, made.map((tile) => tile.element));
  const when = h("p", { class: "tiles-when", hidden: true });
  return {
    element: h("section", { class: "card tiles-card", "aria-label": "Figures" }, when, figures),
    /** `window` says which stretch of time these are the means of; empty for the present. */
    show(given, window = "") {
      const snapshot = ofLast(given);
      write(when, window === "" ? "" : `Mean of ${window}`);
      when.hidden = window === "";
      for (const tile of made) {
        write(tile.figure, tile.value(snapshot));
        write(tile.small, tile.under(snapshot));
      }
      for (const tile of made.slice(0, 3)) tile.element.hidden = snapshot.gpu_count === 0;
    },
  };
}

const table = (caption, names, rows) =>
  h(
    "section",
    { class: "card table-card", tabindex: "0", role: "region", "aria-label": caption.textContent ?? caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), rows),
  );

const withMeter = (percent, text, high) => {
  const bar = meter(high);
  bar.set(percent);
  return h("div", { class: "with-meter" }, h("span", {}, text), bar.element);
};

/** The GPUs as they are now, or were on average in a window. */
export function gpuTable() {
  const rows = h("tbody");
  const caption = h("span", {}, "GPUs now");
  const element = table(caption, ["GPU", "Utilisation", "Memory", "Temperature", "Power", "Fan", "Held back by"], rows);
  element.hidden = true;
  /** Live samples tell figures only. */
  const names = new Map();
  return {
    element,
    show(gpus, window = "") {
      element.hidden = gpus.length === 0;
      write(caption, window === "" ? "GPUs now" : `GPUs, mean of ${window}`);
      for (const gpu of gpus) if (gpu.name) names.set(gpu.gpu_index, gpu.name);
      rows.replaceChildren(
        ...gpus.map((gpu) => {
          const held = telling(gpu.throttle_reasons);
          return h(
            "tr",
            {},
            h("th", { scope: "row" }, h("b", {}, `GPU ${gpu.gpu_index}`), h("span", {}, names.get(gpu.gpu_index) ?? "")),
            h("td", {}, withMeter(gpu.utilization_gpu_percent, format.percent(gpu.utilization_gpu_percent))),
            h("td", {}, withMeter(gpu.memory_percent, `${format.percent(gpu.memory_percent)} · ${format.bytes(gpu.memory_used_bytes)}`)),
            h("td", {}, format.celsius(gpu.temperature_c)),
            h("td", {}, gpu.power_limit_w ? `${format.watts(gpu.power_w)} of ${format.watts(gpu.power_limit_w)}` : format.watts(gpu.power_w)),
            h("td", {}, format.percent(gpu.fan_speed_percent)),
            h("td", { class: held.length > 0 ? "held" : "free" }, held.length > 0 ? held.map(inWords).join(", ") : gpu.throttle_reasons ? "nothing" : "–"),
          );
        }),
      );
    },
  };
}

/** The file systems, fullest first. */
export function fileSystems(server) {
  const partitions = [...(server.agent?.system_info?.partitions ?? [])].filter((one) => one.total_bytes > 0).sort((a, b) => b.percent - a.percent);
  const rows = partitions.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("b", {}, one.mountpoint), h("span", {}, `${one.device}, ${one.fstype}`)),
      h("td", {}, withMeter(one.percent, `${format.percent(one.percent)} of ${format.bytes(one.total_bytes)}`, 90)),
      h("td", {}, `${format.bytes(one.free_bytes)} free`),
    ),
  );
  return rows.length === 0 ? null : table("File systems", ["Mounted at", "Used", "Left"], h("tbody", {}, rows));
}

