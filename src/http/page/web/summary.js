// The verdict, the figures below it, and the memory.

import { bar, by, keyed, make, say, setBar, show } from "./elements.js";
import { liveRate } from "./plans.js";
import { bytes, count, counted, duration, percent, rate } from "./units.js";

export function showVerdict(overview) {
  const { verdict, backlog, throttle } = overview;
  by("verdict").dataset.code = verdict.code;
  say(by("verdict-text"), `${verdict.text}.`);
  const more = [];
  if (backlog.bytes > 0) {
    const [, seconds] = drain(backlog);
    more.push(`${bytes(backlog.bytes)} are left${seconds == null ? "" : `, about ${duration(seconds)}`}.`);
  }
  const untidy = overview.collections.filter((each) => each.score < 100).slice(0, 3);
  if (untidy.length > 0) {
    more.push(`Lowest score: ${untidy.map((each) => `${each.collection.collection_name} ${each.score}`).join(", ")}.`);
  }
  if (overview.next_look_ms > overview.at_ms && overview.total_collections > 0 && backlog.executing_plans === 0) {
    more.push(`All groups are looked at again in ${duration((overview.next_look_ms - overview.at_ms) / 1000)}.`);
  }
  if (throttle.mb_per_second > 0) more.push(`Merges may read and write ${rate(throttle.mb_per_second)}, and do ${rate(throttle.measured_mb_per_second)}.`);
  say(by("verdict-more"), more.join(" "));
  const reasons = by("verdict-reasons");
  show(reasons, overview.health_reasons.length > 0);
  reasons.replaceChildren(...overview.health_reasons.map((reason) => make("li", {}, reason)));
  // Without a collection there is nothing to measure.
  show(by("welcome"), overview.total_collections === 0);
  for (const part of document.querySelectorAll(".data")) show(part, overview.total_collections > 0);
  say(by("version"), overview.version);
  say(by("user"), overview.user);
}

/** How fast the backlog goes, MB per second and seconds: as the plans run now, or else as completed ones have run. */
function drain(backlog) {
  const now = liveRate();
  if (now > 0) return [now, backlog.bytes / 2 ** 20 / now];
  return [backlog.drain_mb_per_second, backlog.eta_seconds];
}

/** The numbers that a glance looks for. */
export function showFigures(overview) {
  const { backlog, sum } = overview;
  const [mbPerSecond, seconds] = drain(backlog);
  const figures = [
    ["Backlog", bytes(backlog.bytes), `${counted(backlog.executing_plans + backlog.queued_plans, "plan")}, ${counted(backlog.rows, "row")}`],
    ["Drain rate", rate(mbPerSecond), `${backlog.executing_plans} of ${backlog.slots} slots busy`],
    ["Done in", backlog.bytes > 0 ? duration(seconds) : "–", backlog.bytes > 0 ? "at that rate" : "nothing is left"],
    ["Segments", count(sum.segments), `${count(sum.small_segments)} small`],
    ["Rows alive", count(sum.live_rows), `of ${count(sum.rows)} stored`],
    ["Dead bytes", bytes(sum.dead_bytes), `${percent(sum.stored_bytes ? sum.dead_bytes / sum.stored_bytes : 0)} of ${bytes(sum.stored_bytes)}`],
  ];
  keyed(by("figures"), figures, ([label]) => label, createFigure, updateFigure);
}

function createFigure([label]) {
  return make("div", { class: "figure" }, make("div", { class: "label" }, label), make("div", { class: "value" }),
    make("div", { class: "about" }));
}

function updateFigure(element, [, value, about]) {
  say(element.children[1], value);
  say(element.children[2], about);
}

const PARTS = {
  growing: "Rows that are not flushed",
  merges: "Running merges",
  queries: "Queries and searches",
  caches: "Filters over keys",
  vectors: "Vectors for searches",
};

export function showMemory(overview) {
  const known = overview.memory.filter((each) => each.limit_bytes > 0);
  keyed(by("memory"), known, (each) => each.part, (each) => {
    const name = PARTS[each.part] ?? each.part;
    return make("li", {}, make("div", { class: "head" }, make("span", {}, name), make("span", { class: "muted" })), bar(0, name));
  }, (element, each) => {
    say(element.firstChild.lastChild, `${bytes(each.used_bytes)} of ${bytes(each.limit_bytes)}`);
    setBar(element.lastChild, each.used_bytes / each.limit_bytes);
  });
}
