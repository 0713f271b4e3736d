// Numbers as people read them. Bytes as on the command line: a kB has 1024.

const counts = new Intl.NumberFormat("en");

export function count(number) {
  return counts.format(Number(number) || 0);
}

/** `1 plan`, `2 plans`. */
export function counted(number, noun) {
  return `${count(number)} ${noun}${Number(number) === 1 ? "" : "s"}`;
}

export function bytes(number) {
  let value = Number(number) || 0;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || Number.isInteger(value) ? value : value.toFixed(value < 99.95 ? 1 : 0)} ${units[at]}`;
}

export function rate(mbPerSecond) {
  if (mbPerSecond == null) return "–";
    if (mbPerSecond < 0.1) return `${counts.format(Number((mbPerSecond * 1024).toFixed(1)))} kB/s`;
  const digits = mbPerSecond < 1 ? 2 : mbPerSecond < 10 ? 1 : 0;
  return `${counts.format(Number(mbPerSecond.toFixed(digits)))} MB/s`;
}

export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.max(0.01, seconds).toFixed(2)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 1) return "< 1 %";
  return `${Math.round(value)} %`;
}

/** A moment, as long ago as it is. `now` is the server's time. */
export function ago(ms, now) {
  const seconds = Math.max(0, (now - ms) / 1000);
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export function moment(ms) {
  return new Date(Number(ms)).toLocaleString();
}

/** The last digits of an id, which tell neighbours apart. */
export function shortId(id) {
  const text = String(id);
  return text.length > 8 ? `…${text.slice(-6)}` : text;
}
