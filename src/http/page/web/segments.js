// Collections, and the segments of the chosen one, drawn.

import { bar, by, keyed, make, say, setBar, show } from "./elements.js";
import { planOver } from "./plans.js";
import { ask } from "./server.js";
import { bytes, count, counted, percent } from "./units.js";

let chosen = null;
/** Of the chosen collection. */
let segments = [];
let nextPage = "";
let total = 0;
/** The sums that the drawing is of: other sums mean other segments. */
let drawnFor = "";
let busyLoading = false;

export function chosenCollection() {
  return chosen;
}

function levelOf(score) {
  if (score >= 90) return "good";
  return score >= 60 ? "warn" : "bad";
}

/** `page` has the overview and what the buttons do. */
export function showCollections(page) {
  const { overview } = page;
  show(by("collections-card"), overview.total_collections > 0);
  const hidden = overview.total_collections - overview.collections.length;
  say(by("collections-count"), hidden > 0 ? `${count(overview.total_collections)}, the lowest scores are shown` : count(overview.total_collections));
  const ids = overview.collections.map((each) => each.collection.collection_id);
  if (!ids.includes(chosen)) choose(ids[0] ?? null, page);
  keyed(by("collections"), overview.collections, (each) => each.collection.collection_id, (each) => createCollection(each, page),
    (element, each) => updateCollection(element, each, page));
  if (chosen) refresh(page);
  show(by("segments-card"), chosen !== null);
}

function createCollection(each, page) {
  const { collection } = each;
  const id = collection.collection_id;
  const name = collection.db_name === "default" ? collection.collection_name : `${collection.db_name}.${collection.collection_name}`;
  const score = bar(0, `Score of ${name}`);
  return make("li", { class: "collection" },
    make("button", { type: "button", class: "name", onclick: () => choose(id, page) }, name),
    make("div", { class: "score", title: "100: not more small segments and deletes than automatic compaction tolerates" }, score, make("span")),
    make("div", { class: "facts" }),
    make("div", { class: "buttons" },
      make("button", { type: "button", class: "plain", onclick: () => page.compact(collection) }, "Compact"),
      make("button", { type: "button", class: "quiet" }, "Pause")));
}

function updateCollection(element, each, page) {
  const { collection, sum } = each;
  const id = collection.collection_id;
  const [name, score, facts, buttons] = element.children;
  element.classList.toggle("chosen", id === chosen);
  name.setAttribute("aria-pressed", String(id === chosen));
  score.dataset.level = levelOf(each.score);
  setBar(score.firstChild, each.score / 100);
  say(score.lastChild, String(each.score));
  const deleted = sum.rows > 0 ? 1 - sum.live_rows / sum.rows : 0;
  const words = [counted(sum.segments, "segment"), `${count(sum.small_segments)} small`, `${percent(deleted)} deleted`, bytes(sum.stored_bytes)];
  if (each.held) words.push(each.held);
  say(facts, words.join(" · "));
  const [compact, pause] = buttons.children;
  show(compact, each.may_compact);
  show(pause, page.overview.may_control);
  const isPaused = page.overview.pauses.some(({ scope }) => scope.collection?.collection_id === id);
  say(pause, isPaused ? "Resume" : "Pause");
  pause.setAttribute("aria-label", `${isPaused ? "Resume" : "Pause"} ${collection.collection_name}`);
  compact.setAttribute("aria-label", `Compact ${collection.collection_name}`);
  pause.onclick = () => page.pause({ collection_id: id }, collection.collection_name, isPaused);
}

function choose(id, page) {
  if (id === chosen) return;
  chosen = id;
  segments = [];
  drawnFor = "";
  by("segments").replaceChildren();
  by("map").replaceChildren();
  by("whys").replaceChildren();
  if (id !== null) showCollections(page);
}

/** Asks for the segments again, if their sums have changed. */
async function refresh(page, isForced = false) {
  const of = chosen;
  const each = page.overview.collections.find(({ collection }) => collection.collection_id === of);
  if (!each) return;
  const { executing_plans: executing, queued_plans: queued } = page.overview.backlog;
  const sums = JSON.stringify([chosen, each.sum, each.cells, executing, queued, by("with-dropped").checked]);
  if ((sums === drawnFor && !isForced) || busyLoading) {
    markBusy();
    return;
  }
  busyLoading = true;
  drawnFor = sums;
  try {
    await load(page, "");
    if (of === chosen) {
      showMap(each, page.overview);
      await showWhys(each, page);
    }
  } catch (error) {
    drawnFor = "";
    page.failed(error);
  } finally {
    busyLoading = false;
  }
  // Another one was chosen meanwhile.
  if (of !== chosen) refresh(page);
}

async function load(page, token) {
  const of = chosen;
  const params = { collection_id: of, include_dropped: by("with-dropped").checked, page_token: token };
  const answer = await ask("segments", params);
  if (of !== chosen) return;
  segments = token ? [...segments, ...answer.segments] : answer.segments;
  [nextPage, total] = [answer.next_page_token, answer.total_segments];
  segments.sort((a, b) => sizeOf(b) - sizeOf(a) || (a.segment_id < b.segment_id ? -1 : 1));
  drawAll(page);
}

function sizeOf(segment) {
  return segment.bytes || segment.memory_bytes;
}

function isInMemory(segment) {
  return !["Flushed", "Dropped"].includes(segment.state);
}

/** 0 to 1: logarithmic, because a small segment may be a ten-thousandth of a large one. */
function height(size, full) {
  return Math.min(1, Math.max(0.07, Math.log2(Math.max(1, size / 1024)) / Math.log2(full / 1024)));
}

function drawAll(page) {
  const { max_segment_bytes: full, small_below_bytes: smallBelow } = page.overview;
  const box = by("segments");
  const focused = document.activeElement?.closest?.(".segment")?.dataset.key;
  box.replaceChildren(...segments.map((segment, at) => {
    const deleted = segment.rows > 0 ? Math.min(1, segment.delta_rows / segment.rows) : 0;
    const size = sizeOf(segment);
    const kinds = ["segment"];
    if (segment.state === "Dropped") kinds.push("dropped");
    else if (isInMemory(segment)) kinds.push("memory");
    else if (size < smallBelow) kinds.push("small");
    const label = `${counted(segment.rows, "row")}, ${bytes(size)}, ${percent(deleted)} deleted, ${segment.state}`;
    const gone = make("span", { class: "gone" });
    gone.style.height = `${100 * deleted}%`;
    const inner = make("span", { class: "fill" }, gone);
    inner.style.height = `${100 * height(size, full)}%`;
    const element = make("button", { type: "button", class: kinds.join(" "), title: label, "aria-label": `Segment ${segment.segment_id}: ${label}`, tabindex: at === 0 ? 0 : -1, onclick: () => page.explain(segment) }, inner);
    element.dataset.key = segment.segment_id;
    return element;
  }));
  if (focused) box.querySelector(`[data-key="${focused}"]`)?.focus();
  markBusy();
  const name = page.nameOf(chosen);
  say(by("segments-title"), `Segments of ${name}`);
  say(by("segments-about"), `The frame is a full segment of ${bytes(full)}, the fill its size on a logarithmic scale, the hatched part its deleted rows. Choose one to see why it is not compacted, and what it was made from.`);
  show(by("more-segments"), nextPage !== "");
  by("more-segments").onclick = () => load(page, nextPage).catch(page.failed);
  say(by("segments-shown"), segments.length < total ? `${count(segments.length)} of ${count(total)} are drawn; the table below counts all.` : "");
}

/** Frames those that a plan has. */
function markBusy() {
  for (const element of by("segments").children) {
    element.classList.toggle("busy", planOver(element.dataset.key) !== null);
  }
}

/** One stop of the Tab key for all segments; arrows move among them. */
export function moveAmongSegments(event) {
  const all = [...by("segments").children];
  const at = all.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (at < 0 || to == null || !all[to]) return;
  event.preventDefault();
  all[at].tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
}

export function redraw(page) {
  refresh(page, true);
}

const FILL_NAMES = { 0: "< 1 %", 1: "full" };

/** Counts of all segments by size and deletes. */
function showMap({ cells, sum }, { max_segment_bytes: full }) {
  const fills = [0, 0.01, 0.05, 0.25, 0.5, 0.85, 1];
  const rows = [1, 0.5, 0.2, 0.05, 0];
  const most = Math.max(1, ...cells.map((cell) => cell.segments));
  const heads = fills.map((fill) => make("th", { scope: "col" }, FILL_NAMES[fill] ?? `≥ ${Math.round(100 * fill)} %`));
  const body = rows.map((deletedTo) => {
    const name = deletedTo === 0 ? "none" : `≤ ${Math.round(100 * deletedTo)} %`;
    return make("tr", {}, make("th", { scope: "row" }, name), ...fills.map((fill) => {
      const cell = cells.find((each) => each.fill_from === fill && each.deleted_to === deletedTo);
      const element = make("td", { title: cell ? `${counted(cell.segments, "segment")}, ${bytes(cell.bytes)}` : null }, cell ? count(cell.segments) : "");
      if (cell) {
        const strength = 14 + Math.round(34 * (Math.log1p(cell.segments) / Math.log1p(most)));
        const colour = deletedTo > 0.2 ? "var(--bad-fill)" : fill < 0.5 ? "var(--warn-fill)" : "var(--accent)";
        element.style.background = `color-mix(in srgb, ${colour} ${strength}%, var(--sunk))`;
      }
      return element;
    }));
  });
  by("map").replaceChildren(make("table", { class: "map", "aria-label": `${counted(sum.segments, "segment")} by deleted rows and size` },
    make("thead", {}, make("tr", {}, make("th", { scope: "row" }, "deleted"), ...heads)), make("tbody", {}, ...body)),
  make("p", { class: "muted" }, `Size as a share of ${bytes(full)}.`));
}

const MEANINGS = {
  planned: "would be compacted at the next look",
  in_plan: "in a plan",
  too_few_small: "small, but too few to be merged by themselves",
  few_deletes: "deletes below the threshold",
  few_expired: "expired rows below the threshold",
  already_full: "full enough",
  not_flushed: "in memory, not flushed yet",
  alone: "alone in its group",
  alone_compacted: "alone in its group, and compacted",
  auto_off: "automatic compaction is off",
  disabled: "compaction is off",
  not_indexed: "waits for its index",
  last_plan_failed: "the last plan failed",
  nothing_fits: "nothing fits beside it",
};

/** Most segments of a collection whose reasons are asked for by itself: the planner looks at each of them. */
const MOST_EXPLAINED = 20000;

async function showWhys(each, page) {
  const list = by("whys");
  if (each.sum.segments > MOST_EXPLAINED) {
    list.replaceChildren(make("li", {}, "There are many: choose one, or ask datacoord explain."));
    return;
  }
  const { counts } = await ask("explain", { collection_id: each.collection.collection_id });
  if (chosen !== each.collection.collection_id) return;
  list.replaceChildren(...counts.map(({ code, segments: number, bytes: size }) =>
    make("li", {}, make("span", {}, MEANINGS[code] ?? code.replaceAll("_", " ")), make("span", { class: "muted" }, `${count(number)}, ${bytes(size)}`))));
  if (counts.length === 0) list.replaceChildren(make("li", { class: "muted" }, page.overview.total_collections ? "There are no segments." : ""));
}
