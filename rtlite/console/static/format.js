// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));

export const compact = (value) => (value < 10_000 ? tenth.format(value) : short.format(value));

export const rate = (value) => (value === null || value === undefined ? "–" : `${compact(value)}/s`);

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Of seconds: a latency. */
export function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const ms = seconds * 1000;
  return ms === 0 ? "0 ms" : ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${seconds.toFixed(1)} s`;
}

/** How long ago, or until: "12 s", "3 h". */
export function age(text, now = Date.now()) {
  if (!text) return "–";
  const seconds = Math.abs(now - Date.parse(text)) / 1000;
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size || (unit === "d" && seconds >= size)) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** The time of day, with the date unless it is today's. */
export function time(text) {
  if (!text) return "–";
  const date = new Date(text);
  const clock = date.toLocaleTimeString("en-GB", { hour12: false });
  return date.toDateString() === new Date().toDateString() ? clock : `${day(date)} ${clock}`;
}

export function exact(text) {
  const date = new Date(text);
  return `${day(date)} ${date.toLocaleTimeString("en-GB", { hour12: false })}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const day = (date) => date.toLocaleDateString("sv-SE"); // 2026-05-27
