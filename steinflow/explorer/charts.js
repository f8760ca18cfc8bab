// Axes, lines and shades as SVG text. A frame knows where numbers lie on the screen.

const NAMES = {
  noise: "noise",
  gradient: "gradient",
  "gradient-ignored": "gradient, as published",
  blend: "blend",
  "blend-ignored": "blend, as published",
  "in-sample-scalar": "fitted c",
  truth: "truth",
};
const DASHES = {
  gradient: "7 4", "gradient-ignored": "2 3", "blend-ignored": "2 3", "in-sample-scalar": "9 3 2 3",
};

// Few significant digits, as people write them
function written(value, precision = 3) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  const size = Math.abs(value);
  if (size < 1e-9) return "0";
  const digits = size >= 1e-3 && size < 1e5 ? Number(value.toPrecision(precision)).toString()
    : value.toExponential(1);
  return digits.replace("-", "−");
}

function vector(values) {
  if (values.length === 1) return written(values[0], 4);
  return `(${values.map((v) => written(v)).join(", ")})`;
}

// Where numbers lie: x and y map numbers to pixels, a the inverse of x, b that of y.
function frame({ width, height, xs, ys, xLog = false, yLog = false, margin = [8, 10, 34, 46] }) {
  const [top, right, bottom, left] = margin;
  const axis = ([low, high], from, to, log) => {
    const f = log ? Math.log : Number;
    const back = log ? Math.exp : Number;
    const slope = (to - from) / (f(high) - f(low));
    return [(v) => from + slope * (f(v) - f(low)), (p) => back(f(low) + (p - from) / slope)];
  };
  const [x, a] = axis(xs, left, width - right, xLog);
  const [y, b] = axis(ys, height - bottom, top, yLog);
  return { width, height, xs, ys, xLog, yLog, x, y, a, b, margin };
}

// Round numbers between low and high, about `count` of them
function ticks([low, high], log, count) {
  const round = log ? [1] : [1, 2, 5, 10];
  if (log) {
    const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
    const powers = Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => 10 ** (first + i));
    return powers.length > 1 ? powers : [low, high].map((v) => Number(v.toPrecision(1)));
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * round.find((r) => power * r >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

// Grid lines with their numbers, and the names of the axes
function axes(f, xName, yName, { xTicks, yTicks } = {}) {
  const [top, right, bottom, left] = f.margin;
  const [x0, x1, y0, y1] = [left, f.width - right, f.height - bottom, top];
  const vertical = (xTicks ?? ticks(f.xs, f.xLog, 6)).map((v) =>
    `<path class="grid" d="M${f.x(v)} ${y0}V${y1}"/>` +
    `<text x="${f.x(v)}" y="${y0 + 15}" text-anchor="middle">${written(v)}</text>`);
  const level = (yTicks ?? ticks(f.ys, f.yLog, 6)).map((v) =>
    `<path class="grid" d="M${x0} ${f.y(v)}H${x1}"/>` +
    `<text x="${x0 - 6}" y="${f.y(v) + 4}" text-anchor="end">${written(v)}</text>`);
  return vertical.join("") + level.join("") +
    `<text class="name" x="${x1}" y="${f.height - 4}" text-anchor="end">${xName}</text>` +
    `<text class="name" x="${x0}" y="${f.height - 4}">${yName}</text>`;
}

// A line through points [[x, y], ...]; what lies far outside is cut to just outside.
function line(f, points, css, extra = "") {
  const inside = (p) => Math.min(Math.max(p, -2 * f.height), 3 * f.height).toFixed(1);
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${f.x(x).toFixed(1)} ${inside(f.y(y))}`);
  return `<path class="line ${css}" d="${d.join("")}" ${extra}/>`;
}

// The area between a line and the lower end of the frame
function area(f, points, css) {
  const base = f.y(f.ys[0]).toFixed(1);
  const d = points.map(([x, y]) => `L${f.x(x).toFixed(1)} ${f.y(y).toFixed(1)}`).join("");
  const [first, last] = [points[0][0], points.at(-1)[0]];
  return `<path class="${css}" d="M${f.x(first).toFixed(1)} ${base}${d}V${base}H${f.x(last)}Z"/>`;
}

// How an estimator's lines look
function look(name) {
  const dash = DASHES[name] ? `stroke-dasharray="${DASHES[name]}"` : "";
  return `style="--mine: var(--${name})" ${dash}`;
}

// A drawing of a frame's size, cut to the frame where it is named so
function drawing(f, back, cut = "", front = "") {
  const [top, right, bottom, left] = f.margin;
  const size = `width="${f.width - left - right}" height="${f.height - top - bottom}"`;
  return `<svg width="${f.width}" height="${f.height}" aria-hidden="true">${back}` +
    `<svg x="${left}" y="${top}" ${size} viewBox="${left} ${top} ${f.width - left - right} ` +
    `${f.height - top - bottom}">${cut}</svg>${front}</svg>`;
}
