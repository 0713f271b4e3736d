// Jobs of the past, and garbage.

import { by, make, say, show } from "./elements.js";
import { showJob, stateOf } from "./details.js";
import { ask } from "./server.js";
import { ago, bytes, count, counted, duration, moment } from "./units.js";

let jobs = [];
let nextPage = "";

const LEVELS = {
  JOB_STATE_COMPLETED: "good",
  JOB_STATE_EXECUTING: "",
  JOB_STATE_FAILED: "bad",
  JOB_STATE_PARTIALLY_COMPLETED: "warn",
  JOB_STATE_CANCELLED: "warn",
};

/** Asks for the newest jobs; `older` adds a page. */
export async function showHistory(page, older = false) {
  try {
    const answer = await ask("jobs", { page_size: 12, page_token: older ? nextPage : "" });
    jobs = older ? [...jobs, ...answer.jobs] : answer.jobs;
    nextPage = answer.next_page_token;
  } catch (error) {
    page.failed(error);
    return;
  }
  show(by("more-jobs"), nextPage !== "");
  by("more-jobs").onclick = () => showHistory(page, true);
  const rows = jobs.map((job) => row(job, page));
  const table = make("table", { class: "list" }, make("thead", {}, make("tr", {},
    ...["When", "Collection", "Trigger", "State", "Plans", "Rows", "Took", ""].map((name) => make("th", { scope: "col" }, name)))),
  make("tbody", {}, ...rows));
  by("history").replaceChildren(jobs.length > 0 ? table : make("p", { class: "muted" }, "No job yet."));
}

function row(job, page) {
  const progress = job.progress ?? { total_rows: 0 };
  const plans = job.executing_plans + job.completed_plans + job.failed_plans + job.timeout_plans + job.cancelled_plans;
  const isOpen = job.state === "JOB_STATE_EXECUTING";
  const cancel = make("button", { type: "button", class: "quiet", onclick: () => page.cancelJob(job) }, "Cancel");
  cancel.setAttribute("aria-label", `Cancel job ${job.job_id}`);
  return make("tr", {},
    make("td", { title: moment(job.created_at_ms) }, make("button", { type: "button", class: "link", "aria-label": `Job ${job.job_id}, ${moment(job.created_at_ms)}`, onclick: () => showJob(job, page) },
      ago(job.created_at_ms, page.overview.at_ms))),
    make("td", {}, page.nameOf(job.collection.collection_id, job.collection)),
    make("td", {}, job.trigger),
    make("td", {}, make("span", { class: `tag ${LEVELS[job.state] ?? ""}` }, job.paused_by ? "paused" : stateOf(job.state))),
    make("td", { class: "number" }, plans > 0 ? counted(plans, "plan") : job.reason ? "nothing to do" : "0"),
    make("td", { class: "number" }, progress.total_rows > 0 ? `${count(progress.total_rows)} rows` : ""),
    make("td", { class: "number" }, job.ended_at_ms > 0 && plans > 0 ? duration((job.ended_at_ms - job.created_at_ms) / 1000) : ""),
    make("td", {}, isOpen && page.overview.may_control && cancel));
}

export function showGarbageSum(page) {
  const { sum, may_control: mayControl } = page.overview;
  say(by("garbage-about"), sum.dropped_segments > 0
    ? `${counted(sum.dropped_segments, "replaced segment")} with ${bytes(sum.dropped_bytes)} wait for garbage collection.`
    : "No segment waits for garbage collection.");
  show(by("look-at-garbage"), mayControl);
  by("look-at-garbage").onclick = () => showGarbage(page);
}

const PINS = {
  log: () => "a restart could replay its rows",
  reader: () => "a query reads it",
  plan: (pin) => `plan ${pin.plan_id} reads it`,
  tolerance: (pin, now) => `it is young, for ${duration(Math.max(0, pin.until_ms - now) / 1000)} more`,
};

async function showGarbage(page) {
  let found;
  try {
    found = await ask("garbage");
  } catch (error) {
    page.failed(error);
    return;
  }
  const now = page.overview.at_ms;
  const rows = found.items.slice(0, 30).map((item) => make("tr", {},
    make("td", {}, item.object ? `file ${item.object}` : `segment ${item.segment_id}`),
    make("td", { class: "number" }, bytes(item.bytes)),
    make("td", {}, item.pins.length > 0 ? item.pins.map((pin) => PINS[pin.kind]?.(pin, now) ?? pin.kind).join(", ") : "it can go now")));
  const about = `${bytes(found.collected.bytes)} can go now, ${bytes(found.pinned.bytes)} are pinned.`;
  by("garbage").replaceChildren(make("p", { class: "muted", role: "status" }, about),
    rows.length > 0 && make("table", { class: "list" }, make("thead", {}, make("tr", {}, ...["What", "Size", "Pinned by"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows)));
}
