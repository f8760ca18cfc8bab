// The pictures: actions and their weights, noised points, scores over x, errors over N.

const GRID = 64; // pixels of a density's image, in each direction
const CELLS = 64; // of the table of log p(y) that such an image is read from

// How far the pictures reach, in actions and in noised points
function reachOf(problem) {
  const actions = problem.bounds ? 1.12 : 2.6;
  const points = problem.alpha * (problem.bounds ? 1 : 2) + 2.5 * problem.sigma;
  return { actions, points: Math.max(points, ...problem.x.map(Math.abs)) };
}

function evenly(reach, count) {
  return Array.from({ length: count }, (_, i) => reach * ((2 * i) / (count - 1) - 1));
}

// exp(log p) on a scale where the highest is 1, out of points [[x, log p], ...]
function scaled(points) {
  const top = Math.max(...points.map(([, l]) => l));
  return points.map(([x, l]) => [x, Math.exp(l - top)]);
}

// The points at which a density over actions is drawn: up to the bounds, and no further
function support({ bounds }, reach) {
  return bounds ? evenly(1, 201) : evenly(reach, 201);
}

// Draws as dots whose area is their weight; the small ones are one path, which is quick
function dots(f, action, w, heightOf) {
  const least = 1.4;
  const radius = (i) => Math.max(least, 17 * Math.sqrt(w[i]));
  const round = (i) => {
    const r = radius(i).toFixed(1);
    const [x, y] = [f.x(action[0][i]).toFixed(1), heightOf(i).toFixed(1)];
    return `M${x} ${y}m-${r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 -${2 * r} 0`;
  };
  const dot = (d) => `<path class="draw" d="${d}"/>`;
  const order = [...w.keys()].sort((a, b) => w[b] - w[a]);
  const large = order.filter((i) => radius(i) > 2 * least);
  return large.map(round).map(dot).join("") + dot(order.slice(large.length).map(round).join(""));
}

function actionsIn1D(problem, { draws, w }, width) {
  const reach = reachOf(problem).actions;
  const f = frame({ width, height: 250, xs: [-reach, reach], ys: [0, 1.06],
    margin: [8, 12, 84, 12] });
  const at = support(problem, reach);
  const pi = scaled(at.map((a) => [a, potential(problem.q, 0, a) / problem.tau]));
  const misfit = posteriorOf(problem, 0, problem.x[0]);
  const posteriorLine = scaled(at.map((a) => [a, misfit(a)]));
  const bounds = (problem.bounds ?? []).map((a) => `<path class="bound" d="M${f.x(a)} 8V228"/>`);
  const strip = (i) => 205 + 16 * Math.sin(12.9898 * i); // spread out, so that dots can be told
  return drawing(f, bounds.join("") + axes(f, "action a", "", { yTicks: [] }),
    area(f, pi, "density") + line(f, posteriorLine, "posterior"),
    `<g>${dots(f, draws.action, w, strip)}</g>`);
}

function noisedIn1D(problem, width) {
  const reach = reachOf(problem).points;
  const f = frame({ width, height: 250, xs: [-reach, reach], ys: [0, 1.12],
    margin: [8, 12, 34, 12] });
  const p = scaled(noised(problem, 0, reach, 81).map(({ y, logP }) => [y, logP]));
  const x = f.x(problem.x[0]);
  const handle = `<path class="here" d="M${x} 8V216"/><circle class="handle" cx="${x}" cy="216" r="9"/>`;
  return [f, drawing(f, axes(f, "noised point x", "", { yTicks: [] }), area(f, p, "density noised"),
    handle)];
}

// Score over x: the truth, and every estimator with the draws of this seed
function scoresIn1D(problem, state, width) {
  const reach = reachOf(problem).points;
  const truth = noised(problem, 0, reach, 81).map(({ y, score }) => [y, score]);
  const [low, high] = [Math.min, Math.max].map((pick) => pick(...truth.map(([, s]) => s)));
  const spare = 0.15 * (high - low) + 0.1 * Math.max(Math.abs(low), Math.abs(high)) + 0.1;
  const f = frame({ width, height: 260, xs: [-reach, reach], ys: [low - spare, high + spare] });
  const curves = scoreCurves(problem, reach, state.n, state.c, state.seed);
  const lines = Object.entries(curves).map(([name, points]) => line(f, points, "mine", look(name)));
  const x = f.x(problem.x[0]);
  return drawing(f, axes(f, "noised point x", "score"),
    `<path class="here" d="M${x} 0V300"/>` + line(f, truth, "truth") + lines.join(""));
}

// Root mean square errors over N, and the errors of the draws on view
function errorsPicture(problem, state, { truth, estimates }, width) {
  const curves = errorsOverN(problem, state.c, truth);
  const one = Math.sqrt(truth.trace);
  const all = Object.values(curves).flat();
  const least = Math.min(...all.filter((e) => e > 1e-6 * one), one / 16);
  const ys = [least / 2, 1.5 * Math.max(one, ...all)];
  const f = frame({ width, height: 280, xs: [1.7, 300], ys, xLog: true, yLog: true });
  const floor = (v) => Math.min(Math.max(v, ys[0] * 1.15), ys[1]);
  const lines = Object.entries(curves).map(([name, errors]) =>
    line(f, errors.map((e, k) => [SIZES[k], floor(e)]), "mine", look(name)));
  const perfect = line(f, [2, 256].map((n) => [n, one / Math.sqrt(n)]), "perfect");
  const now = estimates.map(({ name, error }) =>
    `<circle class="now" cx="${f.x(state.n)}" cy="${f.y(floor(error))}" r="5" ${look(name)}/>`);
  const here = `<path class="here" d="M${f.x(state.n)} 0V300"/>`;
  return drawing(f, axes(f, "draws N", "error of the score", { xTicks: [2, 8, 32, 128] }),
    here + perfect + lines.join("") + now.join(""));
}

// A square of the plane, as wide as there is room
function plane(width, reach) {
  const side = Math.min(width, 440);
  return frame({ width: side, height: side - 18, xs: [-reach, reach], ys: [-reach, reach],
    margin: [8, 12, 34, 38] });
}

// A density as the opacity of a colour; the square root lets faint parts be seen.
function shade(canvas, f, logDensity, colour) {
  const [top, right, bottom, left] = f.margin;
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`,
    width: `${f.width - left - right}px`, height: `${f.height - top - bottom}px` });
  canvas.width = canvas.height = GRID;
  const at = evenly(f.xs[1] * (1 - 1 / GRID), GRID);
  const values = new Float64Array(GRID * GRID);
  for (let i = 0; i < GRID; i++) {
    for (let k = 0; k < GRID; k++) values[i * GRID + k] = logDensity(at[k], -at[i]);
  }
  const peak = max(values);
  const image = new ImageData(GRID, GRID);
  for (let i = 0; i < values.length; i++) {
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = colour[k];
    image.data[4 * i + 3] = 225 * Math.exp(0.5 * (values[i] - peak));
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// (a_1, a_2) -> Σ_j f((R a)_j, j)
function rotatedSum([[r, s], [t, u]], f) {
  return (a, b) => f(r * a + s * b, 0) + f(t * a + u * b, 1);
}

// a -> log pi(a) up to a constant, -Infinity beyond the bounds
function logTarget({ q, tau, bounds }) {
  return rotatedSum(q.rotation, (b, j) =>
    bounds && (b < bounds[0] || b > bounds[1]) ? -Infinity : potential(q, j, b) / tau);
}

// x -> log p(x) up to a constant: a table in each rotated dimension, interpolated
function logNoised(problem, reach) {
  const far = reach * Math.SQRT2;
  const tables = problem.x.map((_, j) => noised(problem, j, far, CELLS + 1).map(({ logP }) => logP));
  return rotatedSum(problem.q.rotation, (y, j) => {
    const place = Math.min(Math.max((0.5 + (0.5 * y) / far) * CELLS, 0), CELLS - 1e-9);
    const cell = Math.floor(place);
    return tables[j][cell] + (place - cell) * (tables[j][cell + 1] - tables[j][cell]);
  });
}

function actionsIn2D(f, problem, { draws, w }) {
  const bounds = problem.bounds
    ? `<rect class="bound" x="${f.x(-1)}" y="${f.y(1)}" width="${f.x(1) - f.x(-1)}"
        height="${f.y(-1) - f.y(1)}"/>` : "";
  const marks = { xTicks: ticks(f.xs, false, 5), yTicks: ticks(f.ys, false, 5) };
  const height = (i) => f.y(draws.action[1][i]);
  return drawing(f, axes(f, "a₁", "a₂", marks), bounds + dots(f, draws.action, w, height));
}

// The point, and an arrow for every estimate of the score there
function noisedIn2D(f, problem, { truth, estimates }) {
  const [x, y] = problem.x;
  const scale = (0.3 * (f.xs[1] - f.xs[0])) / Math.max(norm(truth.score), 1e-9);
  const arrow = ([u, v], css, extra) => {
    const [px, py] = [f.x(x + scale * u), f.y(y + scale * v)];
    const angle = (Math.atan2(py - f.y(y), px - f.x(x)) * 180) / Math.PI;
    return `<path class="line ${css}" d="M${f.x(x)} ${f.y(y)}L${px} ${py}" ${extra}/>` +
      `<path class="head ${css}" d="M0 0L-9 -4V4Z" ${extra}
        transform="translate(${px} ${py}) rotate(${angle})"/>`;
  };
  const marks = { xTicks: ticks(f.xs, false, 5), yTicks: ticks(f.ys, false, 5) };
  return drawing(f, axes(f, "x₁", "x₂", marks), arrow(truth.score, "truth", "") +
    estimates.map(({ name, score }) => arrow(score, "mine", look(name))).join("") +
    `<circle class="handle" cx="${f.x(x)}" cy="${f.y(y)}" r="8"/>`);
}

// Rows of the table: what each says, and by how much it errs
function rows({ truth, estimates }) {
  const most = Math.max(...estimates.map(({ error }) => error), 1e-300);
  const swatch = (name) => `<svg class="swatch" width="26" height="10" aria-hidden="true">
    <path class="line ${name === "truth" ? "truth" : "mine"}" d="M0 5H26" ${look(name)}/></svg>`;
  const head = `<tr><th scope="row">${swatch("truth")}${NAMES.truth}</th>
    <td><b>${vector(truth.score)}</b></td><td></td></tr>`;
  return head + estimates.map(({ name, score, stdError, error }) => `<tr>
    <th scope="row">${swatch(name)}${NAMES[name]}</th>
    <td><span class="whole">${vector(score)}</span> <span class="soft">± ${written(norm(stdError))}</span></td>
    <td>${written(error)}</td></tr>
    <tr aria-hidden="true"><td colspan="3"><span class="bar" style="--mine: var(--${name});
      width: ${((100 * error) / most).toFixed(1)}%"></span></td></tr>`).join("");
}
