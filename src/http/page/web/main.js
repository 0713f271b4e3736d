// The page as a whole: it listens to the events, keeps the last overview, and has the parts show it.

import { cancelJob, cancelPlan, compact, pauseOrResume, showOrders } from "./actions.js";
import { explainSegment } from "./details.js";
import { by, closeDialog, note, say, show } from "./elements.js";
import { showGarbageSum, showHistory } from "./history.js";
import { forgetAll, showPlans, take } from "./plans.js";
import { remember, showPlots } from "./plots.js";
import { moveAmongSegments, redraw, showCollections } from "./segments.js";
import { Fault, ask, isSignedIn, listen, signIn, signOut } from "./server.js";
import { showFigures, showMemory, showVerdict } from "./summary.js";

/** What the parts see of the page. */
const page = {
  overview: null,
  /** The name of a collection; `known` is what a message says. */
  nameOf(id, known) {
    const of = known?.collection_name ? known : page.overview.collections.map((each) => each.collection).find((each) => each.collection_id === id);
    if (!of) return `collection ${id}`;
    return of.db_name === "default" || !of.db_name ? of.collection_name : `${of.db_name}.${of.collection_name}`;
  },
  explain: (segment) => explainSegment(segment.segment_id, page),
  compact: (collection) => compact(collection, page),
  pause: pauseOrResume,
  cancelPlan,
  cancelJob,
  failed(error) {
    if (error.status === 401) askForLogin("");
    else note(error.message, true);
  },
};

/** Ends the stream of events that is open. */
let stop = new AbortController();
let historyTimer = null;

function showOverview(overview) {
  page.overview = overview;
  show(by("login"), false);
  show(by("main"), true);
  show(by("sign-out"), isSignedIn());
  showVerdict(overview);
  showOrders(page);
  showFigures(overview);
  showPlans(page);
  showCollections(page);
  showMemory(overview);
  showGarbageSum(page);
  remember(overview);
  showPlots();
}

/** Several plans may end at once. */
function historySoon() {
  clearTimeout(historyTimer);
  historyTimer = setTimeout(() => showHistory(page), 250);
}

function took(name, data) {
  if (name === "overview") {
    const isFirst = page.overview === null;
    showOverview(data);
    setLive("live");
    if (isFirst) historySoon();
  } else if (name === "plan") {
    const isKnownJob = data.phase === "PLAN_PHASE_ENDED" || data.phase === "PLAN_PHASE_QUEUED" || data.phase === "PLAN_PHASE_READING";
    take(data);
    if (page.overview) showPlans(page);
    if (isKnownJob) historySoon();
  } else if (name === "end") {
    throw new Fault(isSignedIn() ? 401 : 0, data.message);
  }
}

const LIVE = { live: "live", waiting: "connecting", lost: "connection lost, trying again", polling: "every 5 seconds" };

function setLive(state) {
  by("live").dataset.state = state;
  say(by("live"), LIVE[state]);
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

/** Listens until a login is needed, or `signal` ends it. */
async function follow(signal) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      forgetAll();
      await listen((name, data) => {
        wait = 500;
        took(name, data);
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) return askForLogin(isSignedIn() ? error.message : "");
      if (error.status === 429) {
        await poll(signal);
        continue;
      }
      if (error.status > 0 && error.status !== 503) note(error.message, true);
    }
    setLive("lost");
    await pause(wait, signal);
    wait = Math.min(5000, wait * 2);
  }
}

/** In place of the events, when as many pages listen as may. */
async function poll(signal) {
  for (let turn = 0; turn < 12 && !signal.aborted; turn += 1) {
    try {
      showOverview(await ask("overview"));
    } catch (error) {
      if (error.status === 401) askForLogin("");
      else setLive("lost");
      return;
    }
    setLive("polling");
    if (turn === 0) historySoon();
    await pause(5000, signal);
  }
}

function begin() {
  stop.abort();
  stop = new AbortController();
  setLive("waiting");
  follow(stop.signal);
}

function askForLogin(reason) {
  stop.abort();
  signOut();
  closeDialog();
  page.overview = null;
  show(by("main"), false);
  show(by("login"), true);
  show(by("sign-out"), false);
  say(by("user"), "");
  say(by("login-error"), reason);
  setLive("waiting");
  say(by("live"), "signed out");
  by("login-password").value = "";
  by(by("login-user").value ? "login-password" : "login-user").focus();
}

by("login").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(by("login-user").value, by("login-password").value);
  by("login-password").value = "";
  begin();
});
by("sign-out").addEventListener("click", () => askForLogin(""));
by("dialog-close").addEventListener("click", closeDialog);
by("dialog").addEventListener("click", (event) => {
  if (event.target === by("dialog")) closeDialog();
});
by("segments").addEventListener("keydown", moveAmongSegments);
by("with-dropped").addEventListener("change", () => redraw(page));
by("copy-demo").addEventListener("click", async () => {
  await navigator.clipboard?.writeText(by("demo-command").textContent);
  note("Copied.");
});

begin();
