// Everything that a view shows, from a problem, N, c and a seed.

const SIZES = [2, 4, 8, 16, 32, 64, 128, 256];
const REPEATS = 16; // experiments behind the curves of errors

function norm(vector) {
  return Math.hypot(...vector);
}

// fn, remembering its last answer for the same key
function remembering(fn) {
  let [last, answer] = [];
  return (key, ...rest) => {
    const text = JSON.stringify(key);
    if (text !== last) [last, answer] = [text, fn(key, ...rest)];
    return answer;
  };
}

// The draws of one point, the truth there, and what every estimator makes of the draws.
function answer(problem, count, c, seed) {
  const draws = drawsAt(problem, actions(problem, uniforms(seed, problem.x.length, count)));
  const w = weights(draws);
  const truth = exact(problem);
  const estimates = estimatorsOn(problem.bounds).map((name) => {
    const result = estimate(name, draws, w, c);
    const error = norm(result.score.map((s, j) => s - truth.score[j]));
    return { name, ...result, error, stdError: standardError(name, result, draws, w) };
  });
  return { draws, w, ess: effectiveSampleSize(w), truth, best: bestScalar(problem), estimates };
}

// The draws of all repeated experiments at a problem, each with the weights of every prefix
const repeatedDraws = remembering((problem) =>
  Array.from({ length: REPEATS }, (_, r) => {
    const numbers = uniforms(1000 + r, problem.x.length, SIZES.at(-1));
    const draws = drawsAt(problem, actions(problem, numbers));
    return SIZES.map((size) => prefix(draws, size)).map((each) => [each, weights(each)]);
  }),
);

// {name: [root mean square error at each of SIZES]}
function errorsOverN(problem, c, truth) {
  const experiments = repeatedDraws(problem);
  const curve = (name) =>
    SIZES.map((_, k) => {
      let square = 0;
      for (const nested of experiments) {
        const { score } = estimate(name, ...nested[k], c);
        score.forEach((s, j) => (square += (s - truth.score[j]) ** 2));
      }
      return Math.sqrt(square / REPEATS);
    });
  return Object.fromEntries(estimatorsOn(problem.bounds).map((name) => [name, curve(name)]));
}

// Points y from low to high with log p(y) and s*(y), in dimension j of the rotated problem
function tableOf({ problem, j, reach, count }) {
  return Array.from({ length: count }, (_, i) => {
    const y = reach * ((2 * i) / (count - 1) - 1);
    const { mean, logMass } = posteriorMoments(problem, j, y);
    return { y, logP: logMass, score: (problem.alpha * mean - y) / problem.sigma ** 2 };
  });
}
const tables = [remembering(tableOf), remembering(tableOf)];

// The same, computed again only when something else than x has changed
function noised(problem, j, reach, count) {
  return tables[j]({ problem: { ...problem, x: null }, j, reach, count });
}

// {name: [[x, score], ...]} in one dimension, with the draws of one seed at every x
function scoreCurves(problem, reach, count, c, seed) {
  const points = Math.round(Math.min(Math.max(6000 / count, 33), 81));
  const numbers = uniforms(seed, 1, count);
  const curves = Object.fromEntries(estimatorsOn(problem.bounds).map((name) => [name, []]));
  for (let i = 0; i < points; i++) {
    const x = reach * ((2 * i) / (points - 1) - 1);
    const shifted = { ...problem, x: [x] };
    const draws = drawsAt(shifted, actions(shifted, numbers));
    const w = weights(draws);
    for (const name in curves) curves[name].push([x, estimate(name, draws, w, c).score[0]]);
  }
  return curves;
}
