// Orders. Each is confirmed in a dialog that says what it will do.

import { by, closeDialog, make, note, openDialog, show } from "./elements.js";
import { order } from "./server.js";
import { bytes, count, counted, duration, rate } from "./units.js";

/** Asks for a confirmation. `act` is the order; its failure is shown in the dialog. */
function confirm(title, body, word, act, kind = "primary") {
  const error = make("p", { class: "error", role: "alert" });
  const go = make("button", { type: "button", class: kind }, word);
  const leave = make("button", { type: "button", class: "plain", onclick: closeDialog }, "Leave it");
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      const done = await act();
      closeDialog();
      if (done) note(done);
    } catch (failure) {
      error.textContent = failure.message;
      go.disabled = false;
    }
  });
  openDialog(title, [make("div", {}, ...[body].flat()), error, make("div", { class: "dialog-actions" }, leave, go)], { narrow: true });
  return go;
}

/** The buttons below the verdict. */
export function showOrders(page) {
  const { overview } = page;
  const box = by("orders");
  show(box, overview.may_control && overview.total_collections > 0);
  if (!box.firstChild) {
    box.append(make("button", { type: "button", class: "plain", id: "pause-all" }), make("button", { type: "button", class: "plain", id: "set-throttle" }));
  }
  const isPaused = overview.pauses.some(({ scope }) => scope.everything);
  const [pause, throttle] = box.children;
  pause.textContent = isPaused ? "Resume everything" : "Pause everything";
  pause.className = isPaused ? "primary" : "plain";
  pause.onclick = () => pauseOrResume({ everything: true }, "everything", isPaused);
  throttle.textContent = overview.throttle.mb_per_second > 0 ? `Throttle: ${rate(overview.throttle.mb_per_second)}` : "Throttle";
  throttle.onclick = () => throttleDialog(overview.throttle);
}

export function pauseOrResume(scope, name, isPaused) {
  if (isPaused) {
    confirm(`Resume ${name}?`, make("p", {}, "Plans that wait begin, and automatic compaction looks again. Other pauses stay."), "Resume", async () => {
      await order("resume", scope);
      return `Resumed: ${name}.`;
    });
    return;
  }
  const text = "Plans that wait stay in the queue, and no plans are made by themselves. Plans that run go on. It stays so over restarts, until it is resumed.";
  confirm(`Pause ${name}?`, make("p", {}, text), "Pause", async () => {
    await order("pause", scope);
    return `Paused: ${name}.`;
  });
}

function throttleDialog(throttle) {
  const field = make("input", { id: "throttle-field", type: "number", min: 0, step: "any", inputmode: "decimal", value: throttle.mb_per_second || "" });
  const body = [
    make("p", {}, `Limits what all merges together read and write. In effect now: ${throttle.in_effect}.`),
    make("label", {}, "MB per second; 0: no limit; empty: as configured ", field),
  ];
  confirm("Throttle merges", body, "Set", async () => {
    const text = field.value.trim();
    if (field.validity.badInput || text !== "" && !(Number(text) >= 0)) throw new Error("MB per second: expected a number of 0 or more, or nothing");
    const answer = await order("throttle", { mb_per_second: text === "" ? null : Number(text) });
    return `In effect: ${answer.in_effect}.`;
  });
}

export function cancelPlan(plan) {
  confirm("Cancel this plan?", make("p", {}, `Plan ${plan.plan_id} ends for good, and its ${counted(plan.sources.length, "segment")} stay as they are. Automatic compaction may take them again at its next look, unless it is paused.`),
    "Cancel the plan", () => cancelled({ plan_id: plan.plan_id }), "danger");
}

export function cancelJob(job) {
  confirm("Cancel this job?", make("p", {}, `The plans of job ${job.job_id} that have not ended end for good, and their segments stay as they are.`), "Cancel the job",
    () => cancelled({ job_id: job.job_id }), "danger");
}

async function cancelled(target) {
  const answer = await order("cancel", target);
  return answer.cancelled.length > 0 ? `Cancelled: ${counted(answer.cancelled.length, "plan")}.` : "It had ended before.";
}

/** First shows what the request would do. */
export async function compact(collection, page) {
  const of = { collection_id: collection.collection_id };
  let draft;
  try {
    draft = await order("plan", of);
  } catch (error) {
    page.failed(error);
    return;
  }
  const name = collection.collection_name;
  if (draft.plans === 0 && draft.shared_plans === 0) {
    const ok = make("button", { type: "button", class: "primary", onclick: closeDialog }, "Good");
    openDialog(`Nothing to compact in ${name}`, [make("p", {}, `${draft.reason}.`), make("div", { class: "dialog-actions" }, ok)], { narrow: true });
    return;
  }
  const facts = [`${counted(draft.plans, "plan")} over ${counted(draft.segments, "segment")}: ${count(draft.rows)} rows, ${bytes(draft.bytes)} are read, and about ${bytes(draft.estimated_output_bytes)} are written.`];
  if (draft.estimated_seconds != null) facts.push(`At the measured rate that takes ${duration(draft.estimated_seconds)}.`);
  if (draft.shared_plans > 0) facts.push(`${counted(draft.shared_plans, "plan")} under way are waited for.`);
  confirm(`Compact ${name}?`, facts.map((text) => make("p", {}, text)), "Compact", async () => {
    const answer = await order("compact", of);
    return `Job ${answer.job_id}: ${counted(answer.plans, "plan")}.`;
  });
}
