// A chart of the last hour: metrics/s as a line, errors as bars below it.

import { element, setAttribute, setText } from "./dom.js";
import { number, plural, span } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 44;
const ERRORS = 12; // of it, at the bottom
const FEWEST = 8; // points: a line of two is not blown up to the whole width

const shape = (className) => {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  return made;
};

const line = (points, top) =>
  points.map(([rate], index) => `${index ? "L" : "M"}${index} ${(HEIGHT - (HEIGHT - 2) * (rate / top)).toFixed(1)}`).join("");

const bars = (points, most) =>
  points
    .map(([, errors], index) => (errors ? `M${index} ${HEIGHT}V${(HEIGHT - 3 - (ERRORS - 3) * (errors / most)).toFixed(1)}` : ""))
    .join("");

// Make a chart: { node, update(points, step) }; points are [metrics/s, errors], the oldest first,
// `step` seconds each.
export const chart = () => {
  const svg = document.createElementNS(SVG, "svg");
  const [area, rates, errors] = ["area", "rates", "errors"].map(shape);
  svg.append(area, rates, errors);
  svg.setAttribute("role", "img");
  svg.setAttribute("preserveAspectRatio", "none");
  const from = element("span");
  const peak = element("span");
  const node = element("div", "chart", svg, element("p", "axis", from, peak));
  return {
    node,
    update: (points, step) => {
      const width = Math.max(points.length, FEWEST) - 1;
      const top = Math.max(...points.map(([rate]) => rate), 1e-9);
      const most = Math.max(...points.map(([, count]) => count), 1);
      const failed = points.reduce((sum, [, count]) => sum + count, 0);
      const length = span(Math.max(points.length, 1) * step);
      // The newest point is at the right edge.
      setAttribute(svg, "viewBox", `${points.length - 1 - width} 0 ${width} ${HEIGHT}`);
      // One point is a line too.
      const drawn = points.length === 1 ? `${line(points, top)}h-1` : line(points, top);
      setAttribute(rates, "d", drawn);
      setAttribute(area, "d", drawn && `${drawn}V${HEIGHT}H0Z`);
      setAttribute(errors, "d", bars(points, most));
      const peaks = points.length ? `at most ${number(Number(top.toPrecision(3)))}/s` : `the first point comes within ${step} s`;
      setText(from, points.length ? `last ${length}` : "");
      setText(peak, failed ? `${peaks}, ${plural(failed, "error")}` : peaks);
      setAttribute(
        svg,
        "aria-label",
        `Metrics per second in the last ${length}: ${peaks}; ${plural(failed, "error")}.`,
      );
    },
  };
};
