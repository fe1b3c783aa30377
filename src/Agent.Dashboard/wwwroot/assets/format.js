// Numbers and times as people read them. A value that is not known is a dash, never 0.

const DASH = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** Per cent with one decimal below 10 where that is not 0, without above. */
export const percent = (value) => (known(value) ? `${Math.abs(value) < 9.95 ? trim(value.toFixed(1)) : Math.round(value)}%` : DASH);

/** At most three significant digits, and no exponent. */
const digits = (value) => (Math.abs(value) >= 100 ? String(Math.round(value)) : Math.abs(value) >= 10 ? trim(value.toFixed(1)) : trim(value.toFixed(2)));
const trim = (text) => text.replace(/\.0+$|(\.\d*[1-9])0+$/, "$1").replace(/^-0$/, "0");

const scaled = (value, base, units) => {
  if (!known(value)) return DASH;
  let rest = value;
  let at = 0;
  while (Math.abs(rest) >= base * 0.9995 && at < units.length - 1) {
    rest /= base;
    at += 1;
  }
  return `${digits(rest)} ${units[at]}`;
};

/** Sizes of memory and disks in binary units. */
export const bytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

/** Bytes a second in decimal units, as disks and networks are rated. */
export const rate = (value) => scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);

export const plain = (value) => (known(value) ? digits(value) : DASH);
export const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : DASH);
export const watts = (value) => (known(value) ? `${Math.round(value)} W` : DASH);
export const celsius = (value) => (known(value) ? `${Math.round(value)} °C` : DASH);
export const rpm = (value) => (known(value) ? `${Math.round(value).toLocaleString("en")} rpm` : DASH);

/** Names, each with how often it occurs: "8 × NVIDIA H100, 1 × T4". */
export function counted(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} × ${name}`).join(", ");
}

/** Hours of one GPU: "41", "2.5". */
export const hours = (value) => (known(value) ? (Math.abs(value) < 0.05 && value !== 0 ? "<0.1" : trim(Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0))) : DASH);

/** A figure of a verdict, whose unit comes with it. */
export function figure(value, unit) {
  if (!known(value)) return DASH;
  return unit === "%" ? percent(value) : unit === "B/s" ? rate(value) : unit === "B" ? bytes(value) : unit === "s" ? span(value) : unit ? `${plain(value)} ${unit}` : plain(value);
}

/** A span of seconds by its two largest units. */
export function span(seconds) {
  if (!known(seconds)) return DASH;
  const total = Math.max(0, Math.floor(seconds));
  const [d, hours, m] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  if (d > 0) return hours > 0 && d < 10 ? `${d} d ${hours} h` : `${d} d`;
  if (hours > 0) return m > 0 ? `${hours} h ${m} min` : `${hours} h`;
  if (m > 0) return m < 10 && total % 60 > 0 ? `${m} min ${total % 60} s` : `${m} min`;
  return `${total} s`;
}

/** How long ago, for the age of a sample. */
export const ago = (seconds) => (known(seconds) ? (seconds < 1 ? "just now" : `${span(seconds)} ago`) : "no sample yet");

const pad = (value) => String(value).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The time of day in the viewer's zone. */
export const clock = (ms, withSeconds = true) => {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}${withSeconds ? `:${pad(at.getSeconds())}` : ""}`;
};

export const day = (ms) => {
  const at = new Date(ms);
  return `${at.getDate()} ${MONTHS[at.getMonth()]}`;
};

export const instant = (ms) => `${day(ms)}, ${clock(ms)}`;

/** The offset of the viewer's zone, such as UTC+01:00. */
export const zone = () => {
  const minutes = -new Date().getTimezoneOffset();
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
};
