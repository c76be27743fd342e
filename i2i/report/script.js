"use strict";

// Sample grids: a slider selects one picture of its family.

for (const figure of document.querySelectorAll(".family")) {
  const slider = figure.querySelector("input"), pictures = figure.querySelectorAll("[data-step]");
  const show = () => {
    pictures.forEach((picture, n) => { picture.hidden = n !== Number(slider.value); });
    const step = Number(pictures[slider.value].dataset.step);
    figure.querySelector("output").textContent = step.toLocaleString("en");
    slider.setAttribute("aria-valuetext", `after step ${step}`);
    return step;
  };
  slider.addEventListener("input", () => point(show()));
  show(); // a browser may restore the position of the slider
}

// Charts: lines over steps, redrawn when the width changes.

const charts = JSON.parse(document.getElementById("charts").textContent);
const plots = [...document.querySelectorAll(".plot")].map((box) => ({ box, ...charts[box.dataset.chart] }));
const LEFT = 46, RIGHT = 6, TOP = 8, BOTTOM = 24, STRIP = 44, GAP = 36;

function element(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// Return about `count` round numbers between two limits, spaced by 1, 2 or 5 times a power of ten.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const gap = power * [1, 2, 5, 10].find((factor) => factor * power >= 0.7 * rough);
  const found = [];
  for (let n = Math.ceil(low / gap - 1e-9); n * gap <= high + gap * 1e-9; n++) found.push(n * gap || 0); // not -0
  return found;
}

function decades(low, high) {
  const found = [], factors = high - low > 3 ? [1] : high - low > 1.5 ? [1, 3] : [1, 2, 5];
  for (let n = Math.floor(low); n <= high; n++) found.push(...factors.map((factor) => factor * 10 ** n));
  return found.filter((value) => value >= 10 ** low && value <= 10 ** high);
}

function format(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 });
}

// Smooth with a Gaussian kernel, which has no lag; return short series unchanged.
function smooth(values) {
  const width = values.length / 40;
  if (width < 1) return values;
  const reach = Math.ceil(2 * width);
  return values.map((value, n) => {
    let sum = 0, weights = 0;
    for (let k = Math.max(0, n - reach); k <= Math.min(values.length - 1, n + reach); k++) {
      if (values[k] === null) continue;
      const weight = Math.exp(-(((k - n) / width) ** 2) / 2);
      sum += weight * values[k];
      weights += weight;
    }
    return value === null || !weights ? null : sum / weights;
  });
}

function path(steps, values, x, y) {
  let drawn = "", pen = "M";
  steps.forEach((step, n) => {
    const at = values[n] === null ? NaN : y(values[n]);
    drawn += Number.isFinite(at) ? `${pen}${x(step).toFixed(1)} ${at.toFixed(1)}` : "";
    pen = Number.isFinite(at) ? "L" : "M";
  });
  return drawn;
}

function range(lines, logarithmic) {
  const values = lines.flatMap((line) => line.y).filter((value) => value !== null && (!logarithmic || value > 0));
  if (!values.length) return [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  if (logarithmic) return [Math.log10(low), Math.max(Math.log10(high), Math.log10(low) + 0.1)];
  return [Math.min(0, low), high > Math.min(0, low) ? Math.max(0, high) : 1];
}

function draw(plot) {
  const { box } = plot, width = box.clientWidth, height = box.clientHeight;
  const logarithmic = Boolean(plot.log && document.getElementById("logarithmic").checked);
  const bottom = height - BOTTOM - (plot.strip ? STRIP + GAP : 0), right = width - RIGHT;
  const lines = plot.lines.slice(0, plot.drawn);
  const [low, high] = range(lines, logarithmic);
  const last = Math.max(plot.last, 1), x = (step) => LEFT + (step / last) * (right - LEFT);
  const scale = (value) => (logarithmic ? Math.log10(value) : value);
  const y = (value) => bottom - ((scale(value) - low) / (high - low)) * (bottom - TOP);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${lines.map((line) => line.name).join(", ")} over ${last} steps`);

  const level = (value, at, text) => {
    element(svg, "line", { class: "rule", x1: LEFT, x2: right, y1: at, y2: at });
    element(svg, "text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, text);
  };
  for (const value of logarithmic ? decades(low, high) : ticks(low, high, 4)) level(value, y(value), format(value));
  const marks = ticks(0, last, Math.max(2, Math.min(8, width / 90))).filter(Number.isInteger);
  for (const step of marks) {
    const end = x(step) > right - 12;
    element(svg, "text", { x: x(step), y: height - 5, "text-anchor": end ? "end" : "middle" }, step.toLocaleString("en"));
  }
  lines.forEach((line, n) => {
    const even = plot.exact ? line.y : smooth(line.y);
    if (even !== line.y) element(svg, "path", { class: `raw c${n % 8}`, d: path(plot.x, line.y, x, y) });
    element(svg, "path", { class: `c${n % 8}`, d: path(plot.x, even, x, y) });
  });
  if (plot.strip) {
    const base = height - BOTTOM, [least, most] = range(plot.strip.lines, false);
    const at = (value) => base - ((value - least) / (most - least)) * STRIP;
    element(svg, "text", { x: LEFT, y: base - STRIP - 8 }, "weight");
    for (const value of new Set([least, 0, most])) level(value, at(value), format(value));
    for (const line of plot.strip.lines) {
      const n = plot.lines.findIndex((other) => other.name === line.name);
      element(svg, "path", { class: `c${n % 8}`, d: path(plot.strip.x, line.y, x, at) });
    }
  }
  plot.cursor = element(svg, "line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  plot.place = x;
  plot.step = (pixel) => ((pixel - LEFT) / (right - LEFT)) * last;
  box.replaceChildren(svg);
}

// Mark the same step in every chart: that of the pointer, or of a slider of sample grids.
function point(step) {
  for (const plot of plots) {
    const table = plot.box.parentElement, cells = table.querySelectorAll("td.now"), head = table.querySelector("th.now");
    plot.kept ??= { head: head.textContent, cells: [...cells].map((cell) => cell.textContent) };
    const shown = step !== null && plot.x.length && step >= 0 && step <= Math.max(plot.last, 1);
    let nearest = 0;
    if (shown) plot.x.forEach((x, n) => { if (Math.abs(x - step) < Math.abs(plot.x[nearest] - step)) nearest = n; });
    plot.cursor.setAttribute("visibility", shown ? "visible" : "hidden");
    if (shown) for (const end of ["x1", "x2"]) plot.cursor.setAttribute(end, plot.place(plot.x[nearest]));
    head.textContent = shown ? `at ${plot.x[nearest].toLocaleString("en")}` : plot.kept.head;
    cells.forEach((cell, n) => { cell.textContent = shown ? format(plot.lines[n].y[nearest]) : plot.kept.cells[n]; });
  }
}

for (const plot of plots) {
  plot.box.addEventListener("pointermove", (event) =>
    point(Math.round(plot.step(event.clientX - plot.box.getBoundingClientRect().left))));
  plot.box.addEventListener("pointerleave", () => point(null));
  new ResizeObserver(() => draw(plot)).observe(plot.box);
  draw(plot);
}
document.getElementById("logarithmic")?.addEventListener("change", () => plots.forEach(draw));
