// Latency: a stacked chart of the stages over time, a histogram, and a table. Percentiles are the server's.

/* global uPlot */

const COLOURS = ["#8a94a6", "#4c9be8", "#e8833a", "#b48be0", "#3fb36f", "#d9598c", "#c9b037", "#2fb5b0", "#a5714a", "#6f7be6", "#9ac33c", "#e0605e"];
const KEPT_MS = 300_000;
const POINTS = 240;
const HEIGHT = 190;
// Nothing is drawn across so long without a frame, and so many times what is usual between two.
const GAP_MS = 1000;
const GAP = 4;

export class Charts {
  constructor(elements) {
    this.elements = elements;
    this.samples = [];
    this.window = "60";
    elements.window.addEventListener("change", () => { this.window = elements.window.value; this.draw(); });
    new ResizeObserver(() => this.resize()).observe(elements.stages);
    for (const query of ["(prefers-color-scheme: dark)", "(resolution: 1dppx)"]) {
      matchMedia(query).addEventListener("change", () => this.rebuild());
    }
  }

  build({ stages, windows_s }) {
    this.stages = stages;
    this.colours = stages.map((_, i) => COLOURS[i % COLOURS.length]);
    this.samples = [];
    const names = { 10: "10 s", 60: "1 min", 300: "5 min" };
    const options = [...windows_s.map(String), "run"].map((value) => new Option(names[value] ?? (value === "run" ? "whole run" : `${value} s`), value));
    this.elements.window.replaceChildren(...options);
    this.elements.window.value = this.window;
    this.elements.key.replaceChildren(...stages.map((name, i) => {
      const item = document.createElement("li");
      item.appendChild(document.createElement("i")).style.background = this.colours[i];
      item.append(name);
      return item;
    }));
    this.rebuild();
  }

  rebuild() {
    this.stackPlot?.destroy();
    this.barPlot?.destroy();
    this.stackPlot = this.barPlot = null;
    this.draw();
  }

  resize() {
    const sizes = [[this.stackPlot, this.elements.stages], [this.barPlot, this.elements.histogram]];
    for (const [plot, element] of sizes) plot?.setSize({ width: Math.max(200, element.clientWidth), height: HEIGHT });
  }

  update(stats) {
    this.stats = stats;
    this.samples.push(...stats.samples);
    const oldest = (this.samples.at(-1)?.[0] ?? 0) - KEPT_MS;
    this.samples.splice(0, this.samples.findIndex((row) => row[0] >= oldest));
    this.draw();
  }

  draw() {
    if (!this.stats || !this.stages) return;
    const chosen = this.stats.windows[this.window];
    this.drawTable(chosen.latency_ms);
    this.drawStages();
    this.drawHistogram(chosen);
  }

  // Cumulated means of equal spans of time, nulls where there was no frame for long; [0] is seconds before now.
  stacked() {
    const span = this.window === "run" ? KEPT_MS : 1000 * Number(this.window);
    const last = this.samples.at(-1)?.[0] ?? 0;
    const step = span / POINTS;
    const bins = new Map();
    for (const row of this.samples) {
      if (row[0] < last - span) continue;
      const bin = Math.floor(row[0] / step);
      const sums = bins.get(bin) ?? new Array(row.length).fill(0);
      sums[0] += 1;
      for (let i = 1; i < row.length; i++) sums[i] += row[i];
      bins.set(bin, sums);
    }
    const columns = [[], ...this.stages.map(() => [])];
    const longest = Math.max(GAP_MS, GAP * usual(this.samples));
    let before = Infinity;
    for (const [bin, sums] of bins) {
      if ((bin - before - 1) * step > longest) columns.forEach((column, i) => column.push(i ? null : ((bin - 0.5) * step - last) / 1000));
      before = bin;
      columns[0].push(((bin + 0.5) * step - last) / 1000);
      let total = 0;
      this.stages.forEach((_, i) => { total += sums[i + 1] / sums[0]; columns[i + 1].push(total); });
    }
    return [columns[0], ...columns.slice(1).reverse()];  // the highest first, so that the others cover it
  }

  drawStages() {
    const data = this.stacked();
    const span = this.window === "run" ? KEPT_MS / 1000 : Number(this.window);
    if (!this.stackPlot) {
      const series = this.stages.map((name, i) => ({ label: name, fill: this.colours[i], stroke: this.colours[i], width: 0, points: { show: false } }));
      this.stackPlot = new uPlot({
        ...this.common(this.elements.stages),
        scales: { x: { time: false, range: () => [-this.span, 0] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
        axes: [this.axis((_, ticks) => ticks.map((t) => (t === 0 ? "now" : `${t} s`))), this.axis((_, ticks) => ticks.map(String), 46)],
        series: [{}, ...series.reverse()],
      }, data, this.elements.stages);
    }
    this.span = span;
    this.stackPlot.setData(data);
  }

  drawHistogram({ histogram, latency_ms: { end_to_end: marks } }) {
    const edges = this.stats.histogram_edges_ms;
    const used = histogram.flatMap((n, i) => (n ? [i] : []));
    const [first, last] = used.length ? [Math.max(0, used[0] - 2), Math.min(edges.length - 1, used.at(-1) + 2)] : [0, 20];
    const indices = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const data = [indices, indices.map((i) => histogram[i])];
    this.marks = ["p50", "p90", "p99"].filter((p) => marks[p] !== undefined && marks.n).map((p) => [p, place(marks[p], edges)]);
    if (!this.barPlot) {
      this.barPlot = new uPlot({
        ...this.common(this.elements.histogram),
        scales: { x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.25)] } },
        // bucket i ends at edge i, half a place to the right of its middle
        axes: [this.axis((_, ticks) => ticks.map((t) => (Number.isInteger(t) && edges[t] ? label(edges[t]) : ""))), this.axis((_, ticks) => ticks.map((t) => (Number.isInteger(t) ? String(t) : "")), 46)],
        series: [{}, { fill: COLOURS[1], stroke: COLOURS[1], width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.92, 80] }) }],
        hooks: { draw: [(plot) => this.drawMarks(plot)] },
      }, data, this.elements.histogram);
    } else {
      this.barPlot.setData(data);
    }
  }

  drawMarks(plot) {
    const c = plot.ctx;
    const ratio = devicePixelRatio;
    c.save();
    c.font = `${12 * ratio}px sans-serif`;
    c.fillStyle = c.strokeStyle = colour("--ink");
    c.textAlign = "left";
    c.textBaseline = "alphabetic";
    c.setLineDash([4 * ratio, 3 * ratio]);
    this.marks.forEach(([name, at], i) => {
      const x = plot.valToPos(at, "x", true);
      c.beginPath();
      c.moveTo(x, plot.bbox.top + 14 * ratio * i);
      c.lineTo(x, plot.bbox.top + plot.bbox.height);
      c.stroke();
      c.fillText(name, x + 3 * ratio, plot.bbox.top + 14 * ratio * i + 11 * ratio);
    });
    c.restore();
  }

  drawTable(latency) {
    const cell = (tag, text) => { const e = document.createElement(tag); e.textContent = text; return e; };
    const rows = Object.entries(latency).map(([name, f]) => {
      const row = document.createElement("tr");
      row.dataset.stage = name;
      row.append(cell("th", name.replaceAll("_", " ")));
      for (const figure of ["p50", "p90", "p99", "max"]) row.append(cell("td", f.n && f[figure] !== undefined ? milliseconds(f[figure]) : "–"));
      row.append(cell("td", f.n));
      return row;
    });
    this.elements.table.replaceChildren(...rows);
  }

  common(element) {
    return { width: Math.max(200, element.clientWidth), height: HEIGHT, legend: { show: false }, cursor: { show: false }, pxAlign: 0 };
  }

  axis(values, size) {
    const line = { stroke: colour("--line"), width: 1 };
    return { values, stroke: colour("--dim"), grid: line, ticks: line, ...(size ? { size } : {}) };
  }
}

// The median of the milliseconds from one frame to the next.
function usual(samples) {
  const between = samples.slice(1).map((row, i) => row[0] - samples[i][0]).sort((a, b) => a - b);
  return between[between.length >> 1] ?? 0;
}

// Where a time lies among the buckets, whose middles are the whole numbers.
function place(ms, edges) {
  const i = edges.findIndex((edge) => ms <= edge);
  if (i <= 0) return i;
  return i - 0.5 + (Math.log(ms) - Math.log(edges[i - 1])) / (Math.log(edges[i]) - Math.log(edges[i - 1]));
}

// At most five characters up to 10 s: on a phone there is room for no more.
function milliseconds(ms) { return ms.toFixed(ms < 99.995 ? 2 : ms < 999.95 ? 1 : 0); }

function label(ms) { return ms >= 100 ? ms.toFixed(0) : Number(ms.toPrecision(2)).toString(); }

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
