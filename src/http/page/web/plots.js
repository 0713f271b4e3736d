// Lines over time, from the overviews that this page has seen.

import { by, draw, keyed, make, say } from "./elements.js";
import { bytes, count, duration } from "./units.js";

/** Half an hour of overviews, one every two seconds. */
const MOST = 900;

const PLOTS = [
  { name: "Segments", of: ({ sum }) => sum.segments, text: count },
  { name: "Small segments", of: ({ sum }) => sum.small_segments, text: count },
  { name: "Dead bytes", of: ({ sum }) => sum.dead_bytes, text: bytes },
  { name: "Backlog", of: ({ backlog }) => backlog.bytes, text: bytes },
];

/** Points of time, with a value for each plot. */
const points = [];

export function remember(overview) {
  points.push({ at: overview.at_ms, values: PLOTS.map((plot) => plot.of(overview)) });
  if (points.length > MOST) points.shift();
}

export function showPlots() {
  keyed(by("plots"), PLOTS.map((plot, at) => ({ ...plot, at })), (plot) => plot.name, create, update);
}

function create(plot) {
  const svg = draw("svg", { viewBox: "0 0 100 64", preserveAspectRatio: "none", role: "img" }, draw("path", { class: "area" }), draw("path", { class: "line" }));
  return make("div", { class: "plot" }, make("h3", {}, plot.name), make("div", { class: "now" }), svg,
    make("div", { class: "range" }, make("span"), make("span")));
}

function update(element, plot) {
  const values = points.map((point) => point.values[plot.at]);
  const now = values.at(-1) ?? 0;
  const most = Math.max(1, ...values);
  const [begin, end] = [points[0].at, Math.max(points.at(-1).at, points[0].at + 1000)];
  const place = (point) => {
    const x = (100 * (point.at - begin)) / (end - begin);
    const y = 60 - (56 * point.values[plot.at]) / most;
    return [x.toFixed(2), y.toFixed(2)];
  };
  // Steps: between two points nothing is known, and segments come and go at once.
  let path = "";
  for (const [at, point] of points.entries()) {
    const [x, y] = place(point);
    path += at === 0 ? `M${x} ${y}` : `H${x}V${y}`;
  }
  path += "H100";
  const [, value, svg, range] = element.children;
  say(value, plot.text(now));
  svg.children[1].setAttribute("d", path);
  svg.children[0].setAttribute("d", `${path}V64H0Z`);
  svg.setAttribute("aria-label", `${plot.name}: ${plot.text(now)} now, at most ${plot.text(Math.max(...values))} in ${duration((end - begin) / 1000)}`);
  say(range.firstChild, `${duration((end - begin) / 1000)} ago`);
  say(range.lastChild, `most ${plot.text(Math.max(...values))}`);
}
