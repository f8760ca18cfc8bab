// The estimators of the score s*(x), as docs/formulas.md writes them.
//
// A problem is {q, tau, bounds, alpha, sigma, x}: bounds is null on R^d or [low, high] on a box,
// q the coefficients of Q(a) = Σ_j f_j(b_j), b = R a. Numbers of k draws in d dimensions are
// [d][k], one Float64Array a dimension. Nothing here knows the page, and nothing is random.

const FLOOR = 1e-4; // total weight spread evenly over the draws, for fitting C only

// f_j(b) = l b + q b² + r b⁴ + c cos 2πb
function potential(q, j, b) {
  const square = b * b;
  const wave = q.cosine[j] === 0 ? 0 : q.cosine[j] * Math.cos(2 * Math.PI * b);
  return q.linear[j] * b + q.quadratic[j] * square + q.quartic[j] * square * square + wave;
}

// f_j'(b)
function potentialSlope(q, j, b) {
  const wave = q.cosine[j] === 0 ? 0 : 2 * Math.PI * q.cosine[j] * Math.sin(2 * Math.PI * b);
  return q.linear[j] + 2 * q.quadratic[j] * b + 4 * q.quartic[j] * b * b * b - wave;
}

// R a, of one point [d]
function turned(rotation, a) {
  return rotation.map((row) => row.reduce((sum, r, j) => sum + r * a[j], 0));
}

// R^T b, of one point [d]
function turnedBack(rotation, b) {
  return rotation.map((_, j) => rotation.reduce((sum, row, i) => sum + row[j] * b[i], 0));
}

// Uniform numbers [d][k] -> actions [d][k] from N(x/alpha, (sigma/alpha)² I) on the support.
function actions({ bounds, alpha, sigma, x }, uniform) {
  const scale = sigma / alpha;
  return uniform.map((numbers, j) => {
    const mean = x[j] / alpha;
    const quantile = bounds
      ? truncatedQuantile(mean, scale, ...bounds)
      : (u) => mean + scale * normalQuantile(u);
    return numbers.map(quantile);
  });
}

// What Q says at actions: weights w ∝ exp(Q/tau), u, and h with the boundary weight and without.
function drawsAt(problem, action) {
  const empty = () => action.map((row) => new Float64Array(row.length));
  const logWeight = new Float64Array(action[0].length);
  const [noise, untapered, stein] = [empty(), empty(), empty()];
  ask(problem, action, logWeight, untapered);
  const { bounds, alpha, sigma, x } = problem;
  for (let j = 0; j < action.length; j++) {
    for (let i = 0; i < logWeight.length; i++) {
      const a = action[j][i];
      const u = (alpha * a - x[j]) / sigma ** 2;
      const g = untapered[j][i] - alpha * u; // the posterior score
      noise[j][i] = u;
      untapered[j][i] = g;
      stein[j][i] = bounds ? boundaryWeight(a, bounds) * g + boundaryWeightGradient(a, bounds) : g;
    }
  }
  return { action, logWeight, noise, untapered, stein, alpha };
}

// Adds Q/tau to value [k] and grad Q/tau to slope [d][k].
function ask({ q, tau }, action, value, slope) {
  q.rotation.forEach((row, j) => {
    for (let i = 0; i < value.length; i++) {
      let b = 0;
      for (let m = 0; m < row.length; m++) b += row[m] * action[m][i];
      value[i] += potential(q, j, b) / tau;
      const rise = potentialSlope(q, j, b) / tau;
      for (let m = 0; m < row.length; m++) slope[m][i] += row[m] * rise;
    }
  });
}

// phi = 4 (a - l)(u - a)/(u - l)², 1 in the middle and 0 at the bounds
function boundaryWeight(a, [low, high]) {
  return (4 * (a - low) * (high - a)) / (high - low) ** 2;
}

// ∂phi/∂a
function boundaryWeightGradient(a, [low, high]) {
  return (4 * (high - a - (a - low))) / (high - low) ** 2;
}

// The first k of the draws: a smaller experiment nested in a larger one.
function prefix(draws, k) {
  const first = (rows) => rows.map((row) => row.subarray(0, k));
  const { action, noise, untapered, stein, logWeight, alpha } = draws;
  return {
    action: first(action), noise: first(noise), untapered: first(untapered),
    stein: first(stein), logWeight: logWeight.subarray(0, k), alpha,
  };
}

// w = softmax(log w)
function weights({ logWeight }) {
  const w = Float64Array.from(logWeight);
  const top = max(w);
  for (let i = 0; i < w.length; i++) w[i] = Math.exp(w[i] - top);
  const total = sum(w);
  for (let i = 0; i < w.length; i++) w[i] /= total;
  return w;
}

function max(row) {
  let top = -Infinity;
  for (let i = 0; i < row.length; i++) top = Math.max(top, row[i]);
  return top;
}

function sum(row) {
  let total = 0;
  for (let i = 0; i < row.length; i++) total += row[i];
  return total;
}

// Σ_i w_i t_i
function dot(w, row) {
  let total = 0;
  for (let i = 0; i < row.length; i++) total += w[i] * row[i];
  return total;
}

// 1/Σ w²
function effectiveSampleSize(w) {
  return 1 / dot(w, w);
}

// An estimator is its C in Σ_i w_i (u_i + C h_i/alpha). `fitted` numbers come from the draws
// themselves; `ignored` marks the biased forms, which drop the boundary weight on a box.
const ESTIMATORS = {
  noise: { coefficient: () => 0 },
  "gradient-ignored": { coefficient: () => 1, ignored: true },
  gradient: { coefficient: () => 1 },
  "blend-ignored": { coefficient: (draws, w, c) => c, ignored: true },
  blend: { coefficient: (draws, w, c) => c },
  "in-sample-scalar": { coefficient: (draws, w) => inSampleScalar(draws, w), fitted: 1 },
};

// c = -Σ<h', u'>/Σ|h'|², rows centred and weighed by v = w + 1e-4/N, shrunk by m/(m + s)
function inSampleScalar(draws, w, shrink = 0) {
  const v = Float64Array.from(w);
  for (let i = 0; i < v.length; i++) v[i] = (w[i] + FLOOR / w.length) / (1 + FLOOR);
  const heaviest = w.indexOf(max(w));
  let [product, square] = [0, 0];
  for (let j = 0; j < draws.noise.length; j++) {
    const [u, h] = [draws.noise[j], draws.stein[j]];
    const [uMean, hMean] = [meanOffset(u, v, heaviest), meanOffset(h, v, heaviest)];
    for (let i = 0; i < v.length; i++) {
      const hCentred = h[i] - h[heaviest] - hMean;
      product += v[i] * hCentred * (u[i] - u[heaviest] - uMean);
      square += v[i] * hCentred * hCentred;
    }
  }
  const fitted = (-product * draws.alpha) / (square > 0 ? square : 1);
  const equations = Math.max(draws.noise.length * (effectiveSampleSize(w) - 1), 1e-300);
  return fitted * (equations / (equations + shrink));
}

// The weighted mean as seen from the heaviest draw, which keeps the digits of what is near it
function meanOffset(row, v, heaviest) {
  let mean = 0;
  for (let i = 0; i < row.length; i++) mean += v[i] * (row[i] - row[heaviest]);
  return mean;
}

// {score [d], coefficient}: Σ_i w_i (u_i + C h_i/alpha), from given draws and their weights.
function estimate(name, draws, w, c) {
  const { coefficient, ignored } = ESTIMATORS[name];
  const C = coefficient(draws, w, c);
  const stein = ignored ? draws.untapered : draws.stein;
  const score = draws.noise.map((u, j) => {
    let mean = 0;
    for (let i = 0; i < w.length; i++) mean += w[i] * (u[i] + (C * stein[j][i]) / draws.alpha);
    return mean;
  });
  return { score, coefficient: C };
}

// Its delta-method standard error [d]
function standardError(name, { score, coefficient }, draws, w) {
  const { ignored, fitted = 0 } = ESTIMATORS[name];
  const stein = ignored ? draws.untapered : draws.stein;
  const freedom = w.length - 1 - fitted;
  return draws.noise.map((u, j) => {
    let square = 0;
    for (let i = 0; i < w.length; i++) {
      const term = u[i] + (coefficient * stein[j][i]) / draws.alpha;
      square += (w[i] * (term - score[j])) ** 2;
    }
    return freedom > 0 ? Math.sqrt((square * w.length) / freedom) : Infinity;
  });
}

// The estimators that say something of their own on this support.
function estimatorsOn(bounds) {
  return Object.keys(ESTIMATORS).filter((name) => bounds || !ESTIMATORS[name].ignored);
}
