// The truth by quadrature: Q is a rotated sum of one-dimensional functions and noise is
// isotropic, so the posterior of b = R a is a product and one dimension at a time will do.

const NEGLIGIBLE = 45; // log densities that far below the top are left out
const PANELS = 48;
const SCAN = Array.from({ length: 128 }, (_, i) => i / 63.5 - 1).map((s) => [Math.sinh(10 * s), s]);

// y = (R x)_j, and b -> log p(b_j | x) up to a constant
function posteriorOf(problem, j, y) {
  const { q, tau, alpha, sigma } = problem;
  return (b) => potential(q, j, b) / tau - 0.5 * ((y - alpha * b) / sigma) ** 2;
}

// Whether p(b_j | x) is a Gaussian
function isGaussian({ q, bounds }, j) {
  return !bounds && q.quartic[j] === 0 && q.cosine[j] === 0;
}

// The log density at every knot
function tabulate(logDensity, knots) {
  const values = new Float64Array(knots.length);
  for (let i = 0; i < knots.length; i++) values[i] = logDensity(knots[i]);
  return values;
}

// The interval that holds all but a negligible part of a density, by scans that zoom in.
function zoom(logDensity, knots) {
  for (let round = 0; ; round++) {
    const logP = tabulate(logDensity, knots);
    const least = max(logP) - NEGLIGIBLE;
    let [first, last] = [0, knots.length - 1];
    while (logP[first] <= least) first++;
    while (logP[last] <= least) last--;
    const low = knots[Math.max(first - 1, 0)];
    const high = knots[Math.min(last + 1, knots.length - 1)];
    if (round === 2) return [low, high];
    knots = new Float64Array(65);
    for (let i = 0; i < 65; i++) knots[i] = low + ((high - low) * i) / 64;
  }
}

// Knots around the likelihood, out to its far tails, and around 0, in order.
function scan({ alpha, sigma, bounds }, y) {
  const [low, high] = bounds ?? [-4, 4];
  const knots = new Float64Array(2 * SCAN.length);
  SCAN.forEach(([near, step], i) => {
    const around = (y + sigma * near) / alpha;
    knots[2 * i] = bounds ? Math.min(Math.max(around, low), high) : around;
    knots[2 * i + 1] = 0.5 * (low + high) + 0.5 * (high - low) * step;
  });
  return knots.sort();
}

// {point, weight, logMass}: Gauss-Legendre rules on panels of where p(b_j | x) is.
function posterior(problem, j, y) {
  const logDensity = posteriorOf(problem, j, y);
  const [low, high] = zoom(logDensity, scan(problem, y));
  const [abscissa, rule] = CORE.gauss;
  const half = (0.5 * (high - low)) / PANELS;
  const point = new Float64Array(PANELS * rule.length);
  for (let i = 0; i < point.length; i++) {
    const panel = Math.floor(i / rule.length);
    point[i] = low + half * (2 * panel + 1 + abscissa[i % rule.length]);
  }
  const weight = tabulate(logDensity, point);
  const top = max(weight);
  for (let i = 0; i < point.length; i++) {
    weight[i] = half * rule[i % rule.length] * Math.exp(weight[i] - top);
  }
  const total = sum(weight);
  for (let i = 0; i < point.length; i++) weight[i] /= total;
  return { point, weight, logMass: top + Math.log(total) };
}

// Mean and variance of b_j given x, and the log of p(y), up to one constant for all y.
function posteriorMoments(problem, j, y) {
  const { q, tau, alpha, sigma } = problem;
  if (isGaussian(problem, j)) {
    const precision = (alpha / sigma) ** 2 - (2 * q.quadratic[j]) / tau;
    const mean = ((alpha * y) / sigma ** 2 + q.linear[j] / tau) / precision;
    const logMass = 0.5 * (precision * mean ** 2 - (y / sigma) ** 2);
    return { mean, variance: 1 / precision, logMass };
  }
  const { point, weight, logMass } = posterior(problem, j, y);
  const mean = dot(weight, point);
  let variance = 0;
  for (let i = 0; i < point.length; i++) variance += weight[i] * (point[i] - mean) ** 2;
  return { mean, variance, logMass };
}

// {score [d], trace}: s*(x) = E[u | x] and tr Cov[u | x], the MSE of one exact draw.
function exact(problem) {
  const { q, alpha, sigma, x } = problem;
  const y = turned(q.rotation, x);
  const moments = y.map((each, j) => posteriorMoments(problem, j, each));
  const misfit = moments.map(({ mean }, j) => (alpha * mean - y[j]) / sigma ** 2);
  const variance = moments.reduce((sum, each) => sum + each.variance, 0);
  return {
    score: turnedBack(q.rotation, misfit),
    trace: variance * (alpha / sigma ** 2) ** 2,
  };
}

// c* = (alpha²/sigma²) Σ_j E[phi_j]/E|h|², the scalar of least variance under exact draws.
function bestScalar(problem) {
  const { q, tau, bounds, alpha, sigma, x } = problem;
  let [tapers, square] = [0, 0];
  turned(q.rotation, x).forEach((y, j) => {
    const { point, weight } = posterior(problem, j, y);
    point.forEach((b, i) => {
      const [phi, phiSlope] = bounds ? [boundaryWeight(b, bounds), boundaryWeightGradient(b, bounds)] : [1, 0];
      const g = potentialSlope(q, j, b) / tau + (alpha * (y - alpha * b)) / sigma ** 2;
      tapers += weight[i] * phi;
      square += weight[i] * (phi * g + phiSlope) ** 2;
    });
  });
  return ((alpha / sigma) ** 2 * tapers) / square;
}
