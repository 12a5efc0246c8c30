"use strict";
// Curves over the frames, linked: what is pointed at in one is shown in all.

const SVG = "http://www.w3.org/2000/svg";
const CHART = { width: 600, height: 170, left: 46, right: 14, top: 8, bottom: 20, points: 1500 };

function svgElement(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.appendChild(element);
  return element;
}

function htmlElement(name, attributes, text) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function shortNumber(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}

// Round numbers that cover low..high in about four steps.
function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const power = Math.pow(10, Math.floor(Math.log10(span / 4)));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => span / n <= 5);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

// Of many points the smallest and the largest of each run, so that no peak is lost.
function thinned(points, most) {
  if (points.length <= most) return points;
  const run = Math.ceil((2 * points.length) / most);
  const kept = [];
  for (let start = 0; start < points.length; start += run) {
    const part = points.slice(start, start + run);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] < high[0] ? [low, high] : low === high ? [low] : [high, low]));
  }
  return kept;
}

// `content`: {title, unit, note, series: [{name, colour, values}]}; `frames`: their numbers;
// `marks`: {odd, failed}, positions in the lists; `on`: {point(position or null), choose(position)}.
// Gives {point, choose}, by which it is told what was pointed at or chosen elsewhere.
function makeChart(parent, content, frames, marks, on) {
  const box = htmlElement("div", { class: "chart" });
  box.appendChild(htmlElement("h3", {}, content.title + (content.unit ? ` (${content.unit})` : "")));
  const svg = svgElement("svg", {
    viewBox: `0 0 ${CHART.width} ${CHART.height}`, preserveAspectRatio: "none", tabindex: "0", role: "slider",
    "aria-label": `${content.title}; frame`, "aria-valuemin": frames[0], "aria-valuemax": frames[frames.length - 1],
    "aria-valuenow": frames[0], "aria-describedby": "chart-help",
  }, box);
  const legend = htmlElement("div", { class: "legend" });
  box.appendChild(legend);
  parent.appendChild(box);

  const known = content.series.flatMap((series) => series.values.filter((value) => value !== null));
  let low = known.reduce((a, b) => Math.min(a, b), Infinity);
  let high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  low -= margin;
  high += margin;
  const first = frames[0];
  const span = frames[frames.length - 1] - first || 1;
  const inner = CHART.width - CHART.left - CHART.right;
  const x = (position) => CHART.left + ((frames[position] - first) / span) * inner;
  const y = (value) => CHART.top + ((high - value) / (high - low)) * (CHART.height - CHART.top - CHART.bottom);

  for (const value of ticks(low, high)) {
    svgElement("line", { class: "axis", x1: CHART.left, x2: CHART.width - CHART.right, y1: y(value), y2: y(value) }, svg);
    svgElement("text", { x: CHART.left - 5, y: y(value) + 4, "text-anchor": "end" }, svg).textContent = shortNumber(value);
  }
  const last = frames[frames.length - 1];
  for (const frame of ticks(first, last).filter(Number.isInteger)) {
    const place = CHART.left + ((frame - first) / span) * inner;
    svgElement("text", { x: place, y: CHART.height - 5, "text-anchor": "middle" }, svg).textContent = String(frame);
  }
  for (const series of content.series) drawCurve(svg, series, x, y);
  drawMarks(svg, content.series[content.series.length - 1], marks, x, y);
  const chosen = svgElement("line", { class: "chosen", y1: 0, y2: CHART.height - CHART.bottom, visibility: "hidden" }, svg);
  const cursor = svgElement("line", { class: "cursor", y1: 0, y2: CHART.height - CHART.bottom, visibility: "hidden" }, svg);
  // Drawn to the width it has, so that letters are not stretched.
  const fit = () => {
    const stretch = CHART.width / (svg.clientWidth || CHART.width);
    for (const text of svg.querySelectorAll("text")) {
      const place = Number(text.getAttribute("x"));
      text.setAttribute("transform", `translate(${place} 0) scale(${stretch} 1) translate(${-place} 0)`);
    }
  };
  fit();
  window.addEventListener("resize", fit);
  window.matchMedia("print").addEventListener("change", fit);

  let pointed = 0;
  function nearest(event) {
    const area = svg.getBoundingClientRect();
    const at = ((event.clientX - area.left) / area.width) * CHART.width;
    const frame = first + ((at - CHART.left) / inner) * span;
    return nearestPosition(frames, frame);
  }
  svg.addEventListener("pointermove", (event) => on.point(nearest(event)));
  svg.addEventListener("pointerleave", () => on.point(null));
  svg.addEventListener("click", (event) => on.choose(nearest(event)));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (step) pointed = Math.min(frames.length - 1, Math.max(0, pointed + step));
    else if (event.key === "Home") pointed = 0;
    else if (event.key === "End") pointed = frames.length - 1;
    else if (event.key === "Enter") on.choose(pointed);
    else return;
    event.preventDefault();
    if (event.key !== "Enter") on.point(pointed);
  });

  function place(line, position) {
    line.setAttribute("visibility", position === null ? "hidden" : "visible");
    if (position === null) return;
    line.setAttribute("x1", x(position));
    line.setAttribute("x2", x(position));
  }
  function point(position) {
    place(cursor, position);
    if (position !== null) {
      pointed = position;
      svg.setAttribute("aria-valuenow", frames[position]);
    }
    showLegend(legend, content, frames, position);
  }
  point(null);
  return { point, choose: (position) => place(chosen, position) };
}

function drawCurve(svg, series, x, y) {
  let piece = [];
  const flush = () => {
    if (piece.length === 1) piece.push([piece[0][0] + 1, piece[0][1]]);
    if (piece.length) {
      const path = thinned(piece, CHART.points).map((p, n) => `${n ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`);
      svgElement("path", {
        class: "curve", d: path.join(""), style: `stroke: var(--c${series.colour % 8})`, "vector-effect": "non-scaling-stroke",
      }, svg);
    }
    piece = [];
  };
  series.values.forEach((value, position) => {
    if (value === null) flush();
    else piece.push([x(position), y(value)]);
  });
  flush();
}

function drawMarks(svg, series, marks, x, y) {
  const bottom = CHART.height - CHART.bottom;
  for (const position of marks.odd) {
    const value = series.values[position];
    if (value !== null) drawDot(svg, "odd-mark", x(position), y(value));
  }
  for (const position of marks.failed) drawDot(svg, "failed-mark", x(position), bottom - 3);
}

// A line of no length, whose ends keep their shape when the drawing is stretched.
function drawDot(svg, kind, x, y) {
  svgElement("path", { class: kind, d: `M${x.toFixed(1)} ${y.toFixed(1)}h0.01`, "vector-effect": "non-scaling-stroke" }, svg);
}

function showLegend(legend, content, frames, position) {
  legend.textContent = "";
  if (position !== null) legend.appendChild(htmlElement("span", { class: "where" }, `frame ${frames[position]}:`));
  for (const series of content.series) {
    const text = position === null ? series.name : `${series.name} ${shortNumber(series.values[position])}`;
    legend.appendChild(htmlElement("span", { style: `--colour: var(--c${series.colour % 8})` }, text));
  }
  if (position === null && content.note) legend.appendChild(htmlElement("span", { class: "where" }, content.note));
}

// Where in ascending numbers the one nearest to `wanted` stands.
function nearestPosition(numbers, wanted) {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - numbers[low - 1] < numbers[low] - wanted ? low - 1 : low;
}
