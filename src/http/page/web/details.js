// One segment: why it is not compacted, and what it was made from. One job: its plans, before and after.

import { bar, make, note, openDialog } from "./elements.js";
import { kindOf } from "./plans.js";
import { ask } from "./server.js";
import { bytes, count, counted, duration, moment, percent, shortId } from "./units.js";

/** Most segments of one step that are drawn. */
const MOST = 24;

export async function explainSegment(segmentId, page) {
  try {
    const [{ explanation }, lineage] = await Promise.all([
      ask("explain", { segment_id: segmentId }),
      ask("lineage", { segment_id: segmentId }),
    ]);
    await openDialog(`Segment ${segmentId}`, [facts(explanation), verdicts(explanation, page), origin(lineage, page)]);
  } catch (error) {
    if (error.status === 404) note("That segment is gone: it was replaced and collected.");
    else page.failed(error);
  }
}

function pair(term, value) {
  return make("div", {}, make("dt", {}, term), make("dd", {}, value));
}

function facts({ segment, compaction_to: next }) {
  const deleted = segment.rows > 0 ? segment.delta_rows / segment.rows : 0;
  const pairs = [
    pair("State", segment.state),
    pair("Rows", count(segment.rows)),
    pair("Deleted", `${count(segment.delta_rows)} (${percent(Math.min(1, deleted))})`),
    pair("Size", bytes(segment.bytes)),
    pair("Delta logs", `${count(segment.delta_logs)}, ${bytes(segment.delta_bytes)}`),
    pair("Level", segment.level),
  ];
  if (segment.clustering_min) pairs.push(pair("Keys", `${segment.clustering_min} to ${segment.clustering_max}`));
  if (next.length > 0) pairs.push(pair("Replaced by", next.map(shortId).join(", ")));
  return make("dl", { class: "facts-grid" }, ...pairs);
}

function verdicts(explanation, page) {
  const boxes = [
    verdictBox("By itself", explanation.automatic),
    verdictBox("If it is asked for", explanation.on_request),
  ];
  const soon = [];
  if (explanation.held) soon.push(`Automatic compaction is ${explanation.held}.`);
  if (explanation.next_look_ms > 0) soon.push(`Looked at again ${inTime(explanation.next_look_ms, page.overview.at_ms)}, or when its group changes.`);
  for (const index of explanation.indexes) soon.push(`Index ${index.index_name}: ${index.text}.`);
  return make("div", { class: "verdicts" }, ...boxes, ...soon.map((text) => make("p", { class: "muted" }, text)));
}

function inTime(ms, now) {
  return ms > now ? `in ${duration((ms - now) / 1000)}` : "now";
}

function verdictBox(when, verdict) {
  return make("div", { class: "verdict-box" }, make("h3", {}, when), make("div", { class: "text" }, `${sentence(verdict.text)}`),
    verdict.remedy && make("div", { class: "remedy" }, `What would change that: ${verdict.remedy}.`));
}

function sentence(text) {
  return text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "";
}

/** Steps from the flushes on the left to the segment on the right. */
function origin({ segments, is_complete: isComplete, total_segments: total }, page) {
  const depths = new Map();
  for (const segment of segments) depths.set(segment.depth, [...(depths.get(segment.depth) ?? []), segment]);
  const most = Math.max(1, ...segments.map((segment) => segment.bytes));
  const steps = [...depths.keys()].sort((a, b) => b - a).flatMap((depth, at) => {
    const step = make("div", { class: depths.get(depth).length > 6 ? "step many" : "step" }, make("h4", {}, depth === 0 ? "now" : depth === 1 ? "before" : `${depth} plans before`),
      ...depths.get(depth).slice(0, MOST).map((segment) => ancestor(segment, most, page)),
      depths.get(depth).length > MOST && make("div", { class: "muted" }, `and ${count(depths.get(depth).length - MOST)} more`));
    return at === 0 ? [step] : [make("span", { class: "arrow", "aria-label": "became" }, "→"), step];
  });
  const notes = [];
  if (segments.length === 1 && isComplete) notes.push("Written by a flush, not compacted since.");
  if (!isComplete) notes.push("Older records have been collected.");
  if (total > segments.length) notes.push(`The nearest ${segments.length} of ${total} are shown.`);
  return make("div", {}, make("h3", {}, "Where its rows come from"), make("div", { class: "lineage", tabindex: 0, role: "group", "aria-label": "Lineage" }, ...steps),
    ...notes.map((text) => make("p", { class: "muted" }, text)));
}

function ancestor(segment, most, page) {
  const isKnown = segment.origin !== "SEGMENT_ORIGIN_UNKNOWN";
  const text = isKnown ? `${counted(segment.rows, "row")}, ${bytes(segment.bytes)}` : "its record is gone";
  return make("div", { class: segment.depth === 0 ? "ancestor self" : "ancestor" },
    make("code", { title: segment.segment_id }, shortId(segment.segment_id)), ` ${text}`,
    isKnown && bar(segment.bytes / most, `Size of ${segment.segment_id}`));
}

export async function showJob(job, page) {
  try {
    const found = await ask("job", { job_id: job.job_id });
    const head = make("dl", { class: "facts-grid" },
      pair("Collection", page.nameOf(found.job.collection.collection_id, found.job.collection)),
      pair("Asked for by", found.job.trigger),
      pair("State", stateOf(found.job.state)),
      pair("Begun", moment(found.job.created_at_ms)),
      found.job.ended_at_ms > 0 && pair("Took", duration((found.job.ended_at_ms - found.job.created_at_ms) / 1000)));
    const plans = found.plans.map((plan) => planDetails(plan, page));
    const rest = found.total_plans - found.plans.length;
    await openDialog(`Job ${job.job_id}`, [head, make("div", {}, ...plans,
      plans.length === 0 && make("p", {}, sentence(found.job.reason || "it has no plans")),
      rest > 0 && make("p", { class: "muted" }, `and ${counted(rest, "plan")} more`))]);
  } catch (error) {
    page.failed(error);
  }
}

function planDetails(plan, page) {
  const before = counted(plan.sources.length, "segment");
  const ended = plan.state === "PLAN_STATE_COMPLETED";
  const links = plan.targets.map((id) => make("button", { type: "button", class: "quiet", onclick: () => page.explain({ segment_id: id }) }, shortId(id)));
  const after = !ended ? [] : links.length > 0 ? links : ["no row survived"];
  return make("div", { class: "plan-details" },
    make("div", { class: "plan-head" }, make("strong", {}, `${kindOf(plan)}: ${plan.reason}`), make("span", { class: "tag" }, stateOf(plan.state))),
    make("div", { class: "facts" }, make("span", {}, before), " → ", ...after,
      plan.started_at_ms > 0 && plan.ended_at_ms > 0 && ` in ${duration((plan.ended_at_ms - plan.started_at_ms) / 1000)}`),
    plan.failure_reason && make("p", { class: "error" }, plan.failure_reason));
}

/** `JOB_STATE_PARTIALLY_COMPLETED` as people write it. */
export function stateOf(name) {
  return name.replace(/^(JOB|PLAN)_STATE_/, "").replaceAll("_", " ").toLowerCase();
}
