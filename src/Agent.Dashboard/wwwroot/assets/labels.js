// What each label means: the verdicts' nineteen, the ten of the rule that looks at one sample, and states without a label.

import { h, write } from "./dom.js";

/** Label: what the page calls it, its class of severity, and a sentence. Among machines of one class those come first that come first here. */
export const LABELS = {
  "gpu-fault": ["GPU fault", "fault", "A GPU or its driver is lost or reports a fault"],
  hang: ["Hangs", "fault", "The job has stopped: no CPU time, no bytes, no work on the GPUs"],
  throttled: ["GPU slowed", "held-back", "A GPU is slowed by heat or by its power supply or limit"],
  memory: ["Short of memory", "held-back", "Tasks wait for memory: reclaim, swap or a memory limit"],
  "memory-pressure": ["memory-pressure", "held-back", "Memory is running out: pages are being swapped or soon will be"],
  "disk-read": ["Waits for disk reads", "held-back", "The GPUs wait for data from local disks"],
  "disk-write": ["Waits for disk writes", "held-back", "The GPUs wait while checkpoints or other data are written to local disks"],
  "network-storage": ["Waits for network storage", "held-back", "The GPUs wait for NFS, Lustre or another storage over the network"],
  network: ["Waits for the network", "held-back", "The GPUs wait for data over the network"],
  "io-bound": ["io-bound", "held-back", "The GPUs wait for the disks"],
  "loader-cpu": ["Data loader too slow", "held-back", "The GPUs wait for the data loader: too few workers, or each too slow"],
  "main-thread": ["One thread limits", "held-back", "One thread of the program does not keep up, everything else waits for it"],
  "cpu-contended": ["CPUs contended", "held-back", "Others use the CPUs, or there are more threads than cores"],
  "cpu-quota": ["CPU limit reached", "held-back", "The job has used up the CPU time that it is allowed"],
  "cpu-bound": ["cpu-bound", "held-back", "The GPUs wait for the CPU"],
  communication: ["Waits for other GPUs", "held-back", "The GPUs wait for other GPUs or machines: collectives"],
  imbalance: ["One GPU is behind", "held-back", "The GPUs of a job do unequal work, the others wait for one of them"],
  underutilized: ["underutilized", "held-back", "The GPUs are not fully used; check data loader and batch size"],
  "held-idle": ["GPU held, unused", "held-idle", "GPU memory is held, but nothing runs"],
  unknown: ["Cause unknown", "healthy", "Something waits, and nothing that is measured explains it"],
  starting: ["Starting", "healthy", "Too little has been seen to judge"],
  "mixed-io-gpu": ["mixed-io-gpu", "healthy", "Disks and GPUs are both busy"],
  "mixed-cpu-gpu": ["mixed-cpu-gpu", "healthy", "CPU and GPUs are both busy"],
  mixed: ["mixed", "healthy", "Several components are busy at once"],
  balanced: ["balanced", "healthy", "No component is near its limit"],
  "gpu-bound": ["gpu-bound", "healthy", "The GPUs are saturated: as it should be"],
  compute: ["Computing", "healthy", "Its own work is the limit: as it should be"],
  idle: ["Idle", "idle", "Nothing is running, and no GPU is held"],
};

/** What a machine can be beside its label. */
const STATES = { stale: "stale", never: "never seen", disabled: "disabled", none: "no samples" };

/** Classes of severity and states, the worst first. */
const SEVERITIES = ["stale", "fault", "held-back", "held-idle", "healthy", "idle", "never", "disabled"];

const NEEDS = new Set(["stale", "fault", "held-back", "held-idle"]);
const PLACES = new Map(Object.keys(LABELS).map((label, place) => [label, place]));
const RANKS = new Map(SEVERITIES.map((severity, rank) => [severity, rank]));

export const nameOf = (label) => STATES[label] ?? LABELS[label]?.[0] ?? label;
export const meaningOf = (label) => LABELS[label]?.[2] ?? "";

/** A label that this page does not know yet is shown by its name, and as healthy: it cannot say that it is not. */
export const severityOf = (label) => (label in STATES ? label : (LABELS[label]?.[1] ?? "healthy"));

/** Whether somebody should look. */
export const needsAttention = (severity) => NEEDS.has(severity);

/** Less for what is worse. */
export const rankOf = ({ severity, label }) => (RANKS.get(severity) ?? 9) * 100 + (PLACES.get(label) ?? 99);

/**
 * What a server is shown as: its state if that is not "live", else its verdict, else the label of its newest sample, which is not `settled`: it was
 * decided from that sample alone.
 */
export function judgementOf(server) {
  if (server.state !== "live") return { label: server.state, severity: server.state, reason: "", fix: "", settled: true };
  const verdict = server.verdict ?? server.latest?.verdict ?? null;
  if (verdict !== null) return { ...verdict, severity: verdict.severity ?? severityOf(verdict.label), settled: true };
  const latest = server.latest;
  if (latest === null) return { label: "never", severity: "never", reason: "", fix: "", settled: true };
  return { label: latest.bottleneck, severity: severityOf(latest.bottleneck), reason: latest.reason, confidence: latest.confidence, fix: "", settled: false };
}

/** The coloured label. Its mark has a shape for each class of severity: colour alone tells nothing. */
export const pill = (label, tag = "span", more = {}) =>
  h(tag, { class: "label", "data-label": label, "data-severity": severityOf(label), title: meaningOf(label), ...more }, nameOf(label));

export function setPill(element, label) {
  if (element.dataset.label === label) return;
  element.dataset.label = label;
  element.dataset.severity = severityOf(label);
  element.title = meaningOf(label);
  write(element, nameOf(label));
}

/** The label's colour, as the style sheet has it. */
export const colourOf = (label) => colour(`--label-${label}`) || colour("--label-unknown");

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
