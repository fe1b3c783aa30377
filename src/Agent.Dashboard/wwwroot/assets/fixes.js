// What to try: the verdict's own advice first, then what to look at for its label. Commands are set as code and can be copied.

import { h, icon, write } from "./dom.js";

const PROGRAMS = "nvidia-smi|py-spy|ai-dashboard-agent|nfsiostat|nethogs|iotop|iostat|systemctl|taskset|torchrun|ps|top|dmesg";
/** A command runs up to what is a sentence again. */
const COMMAND = new RegExp(`\\b(?:${PROGRAMS})\\s+\\S.*?(?=[;)]|,\\s|\\.(?:\\s|$)|:\\s|\\s(?:says?|shows?|and|or|for|of|on|then|allows|to|elsewhere)\\b|$)`, "g");
/** A parameter, an option, or a call. */
const PARAMETER = /--[a-z][\w-]*(?:=[^\s,;.)]+)?|\b[A-Za-z_][\w.]*[=(][^\s,;]*[^\s,;.)]\)?/g;

/** A text cut up where a pattern matches: [text, whether it matched]. */
function cut(text, pattern) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(pattern)) {
    parts.push([text.slice(end, found.index), false], [found[0], true]);
    end = found.index + found[0].length;
  }
  return [...parts, [text.slice(end), false]].filter(([part]) => part !== "");
}

const COPY = icon("M9 9h10v11H9z", "M5 15V4h10");

/** A command in code, with the button that copies it. */
function command(text) {
  const said = h("span", { class: "unseen", role: "status" });
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${text}`, title: "Copy" }, COPY.cloneNode(true));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      write(said, "Copied");
      button.classList.add("copied");
    } catch {
      // Outside of https and loopback the browser offers no clipboard: select the text, Ctrl-C is then one key away.
      getSelection().selectAllChildren(code);
      write(said, "Press Ctrl-C");
    }
    setTimeout(() => {
      write(said, "");
      button.classList.remove("copied");
    }, 2000);
  });
  const code = h("code", {}, text);
  return h("span", { class: "inline-command" }, code, button, said);
}

/** A sentence whose commands and parameters are set as code. */
export const sentence = (text) =>
  cut(text, COMMAND).flatMap(([part, isCommand]) => (isCommand ? [command(part)] : cut(part, PARAMETER).map(([piece, isCode]) => (isCode ? h("code", {}, piece) : piece))));

const PROFILE = "See where the program spends its time: py-spy top --pid PID.";
const THREADS = "See which threads use the CPUs: top -H.";

/** What to look at for each label, beyond what the verdict says. */
const LOOK = {
  "gpu-fault": ["See what the driver logged: dmesg -T.", "See errors and retired memory: nvidia-smi -q -d ECC,PAGE_RETIREMENT,ROW_REMAPPER."],
  hang: ["See where each process stands: py-spy dump --pid PID."],
  throttled: ["See what slows the GPU: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,CLOCK,POWER."],
  memory: ["See who uses the memory: ps aux --sort=-rss."],
  "disk-read": ["See how busy the disks are: iostat -x 5.", "See who reads: iotop -o."],
  "disk-write": ["See how busy the disks are: iostat -x 5.", "See who writes: iotop -o."],
  "network-storage": ["See the operations of each mount: nfsiostat 5."],
  network: ["See who uses the network: nethogs -t."],
  "loader-cpu": [THREADS, PROFILE],
  "main-thread": [PROFILE],
  "cpu-contended": [THREADS],
  "cpu-quota": [THREADS],
  communication: ["See how the GPUs are connected: nvidia-smi topo -m."],
  imbalance: ["Compare the GPUs: nvidia-smi -q -d CLOCK,PERFORMANCE."],
  "held-idle": ["See who holds the memory: nvidia-smi --query-compute-apps=pid,used_memory --format=csv."],
  unknown: [PROFILE],
};
const LAST = "Ask the agent on the machine, which looks at the processes: ai-dashboard-agent --why.";

/** All there is to try for a verdict, the most concrete first; `pid` is the job's topmost process, or null. */
export function fixesOf(verdict, pid = null) {
  if (["compute", "idle", "starting"].includes(verdict.label)) return verdict.fix ? [verdict.fix] : [];
  const looks = [...(LOOK[verdict.label] ?? []), ...(LOOK[verdict.second] ?? []), LAST].map((text) => (pid === null ? text : text.replace("PID", String(pid))));
  const told = new Set([...(verdict.fix ?? "").matchAll(COMMAND)].map(([found]) => found));
  const isNew = (text) => ![...text.matchAll(COMMAND)].some(([found]) => told.has(found));
  return [...new Set([verdict.fix, ...looks.filter(isNew)])].filter(Boolean);
}
