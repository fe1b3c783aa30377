// What each bottleneck label means, in the order in which they are listed; and the same for states without a label.

import { h } from "./dom.js";

export const LABELS = {
  "memory-pressure": "Memory is running out: pages are being swapped or soon will be",
  "io-bound": "The GPUs wait for the disks",
  "cpu-bound": "The GPUs wait for the CPU",
  underutilized: "The GPUs are not fully used; check data loader and batch size",
  "mixed-cpu-gpu": "CPU and GPUs are both busy",
  "mixed-io-gpu": "Disks and GPUs are both busy",
  mixed: "Several components are busy at once",
  balanced: "No component is near its limit",
  "gpu-bound": "The GPUs are saturated: as it should be",
  idle: "Nothing is running",
};

const STATES = { stale: "stale", never: "never seen", disabled: "disabled" };

/** What a server is shown as: its state if that is not "live", else the label of its newest sample. */
export const shownAs = (server) => (server.state === "live" ? (server.latest?.bottleneck ?? "never") : server.state);

export const nameOf = (label) => STATES[label] ?? label;

/** The coloured label. */
export const pill = (label) => h("span", { class: "label", "data-label": label, title: LABELS[label] }, nameOf(label));

export function setPill(element, label) {
  if (element.dataset.label === label) return;
  element.dataset.label = label;
  element.title = LABELS[label] ?? "";
  element.textContent = nameOf(label);
}

/** The label's colour, as the style sheet has it. */
export const colourOf = (label) => colour(`--label-${label}`);

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
