// Plans that run and plans that wait, as the events tell of them.

import { bar, by, keyed, make, say, setBar, show } from "./elements.js";
import { bytes, count, duration, rate } from "./units.js";

/** Plans by id: the last event of each. */
const plans = new Map();

const WAITING = ["PLAN_PHASE_QUEUED", "PLAN_PHASE_PAUSED"];
const PHASES = {
  PLAN_PHASE_READING: "reading deletes and keys",
  PLAN_PHASE_MERGING: "merging",
  PLAN_PHASE_COMMITTING: "committing",
};
const KINDS = { mix: "merge", single: "rewrite", clustering: "clustering", l0_delete: "spread deletes", index: "build index" };

export function kindOf(plan) {
  return KINDS[plan.kind] ?? plan.kind;
}

/** Most plans that are shown of each kind. */
const MOST = 25;

/** Takes an event. True if the plan has ended. */
export function take(event) {
  if (!event.plan) return false;
  if (event.phase === "PLAN_PHASE_ENDED") return plans.delete(event.plan.plan_id) || true;
  plans.set(event.plan.plan_id, event);
  return false;
}

/** After a break the stream tells of all plans anew. */
export function forgetAll() {
  plans.clear();
}

/** MB per second of all plans that run; 0 while that is not known. */
export function liveRate() {
  let sum = 0;
  for (const event of plans.values()) sum += WAITING.includes(event.phase) ? 0 : event.mb_per_second ?? 0;
  return sum;
}

/** The unfinished plan that takes part in a segment's fate. */
export function planOver(segmentId) {
  for (const { plan } of plans.values()) {
    if (plan.kind !== "index" && plan.sources.includes(segmentId)) return plan;
  }
  return null;
}

/** `page` has the overview, `nameOf` a collection and `cancelPlan`. */
export function showPlans(page) {
  const all = [...plans.values()];
  const running = all.filter((event) => !WAITING.includes(event.phase));
  const waiting = all.filter((event) => WAITING.includes(event.phase));
  const { backlog } = page.overview;
  showList("running", running, running.length, page, updateRunning);
  showList("queue", waiting, Math.max(waiting.length, backlog.queued_plans), page, updateWaiting);
}

function showList(name, events, total, page, update) {
  say(by(`${name}-count`), total > 0 ? count(total) : "");
  show(by(`${name}-none`), events.length === 0);
  keyed(by(name), events.slice(0, MOST), (event) => event.plan.plan_id, (event) => create(event, page), (element, event) =>
    update(element, event, page));
}

function create(event, page) {
  const { plan } = event;
  const cancel = make("button", { type: "button", class: "quiet", onclick: () => page.cancelPlan(plan) }, "Cancel");
  cancel.setAttribute("aria-label", `Cancel plan ${plan.plan_id}`);
  return make("li", { class: "plan" },
    make("div", { class: "plan-head" }, make("span", {}, make("strong", {}, page.nameOf(plan.collection_id)), " ",
      make("span", { class: "tag" }, kindOf(plan))), cancel),
    make("div", { class: "reason" }, plan.reason),
    bar(0, `Plan ${plan.plan_id}`),
    make("div", { class: "facts" }));
}

function updateRunning(element, event, page) {
  const progress = event.plan.progress ?? { done_rows: 0, total_rows: 0, done_bytes: 0, total_bytes: 0 };
  show(element.querySelector("button"), page.overview.may_control);
  const [, , gauge, facts] = element.children;
  show(gauge, true);
  setBar(gauge, progress.total_bytes > 0 ? progress.done_bytes / progress.total_bytes : 0);
  const merges = page.overview.memory.find((each) => each.part === "merges");
  const words = [
    PHASES[event.phase] ?? "",
    `${count(progress.done_rows)} of ${count(progress.total_rows)} rows`,
    `${bytes(progress.done_bytes)} of ${bytes(progress.total_bytes)}`,
    event.mb_per_second == null ? "" : rate(event.mb_per_second),
    event.eta_seconds == null ? "" : `${duration(event.eta_seconds)} left`,
    `${event.plan.sources.length} segments`,
    merges ? `${bytes(merges.used_bytes)} of memory for all merges` : "",
  ];
  facts.replaceChildren(...words.filter(Boolean).map((word) => make("span", {}, word)));
}

function updateWaiting(element, event, page) {
  const { plan } = event;
  show(element.querySelector("button"), page.overview.may_control);
  const [, , gauge, facts] = element.children;
  show(gauge, false);
  const words = [`waits for ${waitsFor(event, page.overview)}`, `${plan.sources.length} segments`, bytes(plan.progress?.total_bytes)];
  facts.replaceChildren(...words.map((word) => make("span", {}, word)));
}

function waitsFor(event, { pauses, backlog, collections }) {
  const { plan } = event;
  if (event.phase === "PLAN_PHASE_PAUSED") {
    const pause = pauses.find(({ scope }) => scope.everything || scope.job_id === plan.job_id
      || scope.collection?.collection_id === plan.collection_id);
    return pause ? `the end of the pause by ${pause.by}` : "the end of a pause";
  }
  if (backlog.executing_plans >= backlog.slots) return `a free slot: all ${backlog.slots} are busy`;
  const held = collections.find((each) => each.collection.collection_id === plan.collection_id)?.held;
  if (held) return `its time: it is ${held}`;
  return plan.attempts > 0 ? `attempt ${plan.attempts + 1}, after a while` : "its turn";
}
