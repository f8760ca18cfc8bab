// The standard normal distribution, whole and cut to an interval, accurate far in its tails.
//
// All is written with log M(z), M(z) = sqrt(2/π) (1 - Φ(z))/φ(z) the scaled Mills ratio, so that
// log 2(1 - Φ(z)) = -z²/2 + log M(z) for z >= 0. CORE.mills is the core's own series of it.

function logMills(z) {
  const t = 2 / (2 + z / Math.SQRT2);
  const y = 2 * (2 * t - 1);
  let first = 0;
  let second = 0;
  for (let m = CORE.mills.length - 1; m > 0; m--) {
    const next = CORE.mills[m] + y * first - second;
    second = first;
    first = next;
  }
  return Math.log(t) + CORE.mills[0] + 0.5 * y * first - second;
}

// 1 - Φ(z)
function upperTail(z) {
  return z < 0 ? 1 - upperTail(-z) : 0.5 * Math.exp(-0.5 * z * z + logMills(z));
}

// log of (1 - Φ(a + step))/(1 - Φ(a)) for a, step >= 0, without cancellation
function logTailRatio(a, step) {
  return -step * (a + 0.5 * step) + logMills(a + step) - logMills(a);
}

// The step >= 0 with logTailRatio(a, step) = goal <= 0, by Halley's steps from the right.
function tailStep(a, goal, logMillsA = logMills(a)) {
  if (goal === 0) return 0;
  let step = (-2 * goal) / (a + Math.sqrt(a * a - 2 * goal));
  for (let count = 0; count < 8; count++) {
    const mills = logMills(a + step);
    const hazard = Math.sqrt(2 / Math.PI) * Math.exp(-mills);
    const newton = (mills - logMillsA - step * (a + 0.5 * step) - goal) / hazard;
    const move = newton / (1 + 0.5 * newton * (hazard - a - step));
    step = Math.max(step + move, 0);
    if (Math.abs(move) < 1e-6 * step) break; // the error is of the third order of the move
  }
  return step;
}

// Φ^-1(u) for 0 < u < 1
function normalQuantile(u) {
  return u < 0.5 ? -tailStep(0, Math.log(2 * u)) : tailStep(0, Math.log(2 * (1 - u)));
}

// u -> the u-quantile of N(mean, scale²) cut to [low, high]
function truncatedQuantile(mean, scale, low, high) {
  const a = (low - mean) / scale;
  const b = (high - mean) / scale;
  if (a + b < 0) {
    const mirrored = truncatedQuantile(-mean, scale, -high, -low);
    return (u) => -mirrored(1 - u);
  }
  const clip = (action) => Math.min(Math.max(action, low), high);
  if (a >= 0) {
    const logMillsA = logMills(a);
    const rest = Math.expm1(logTailRatio(a, b - a));
    return (u) => clip(low + scale * tailStep(a, Math.log1p(u * rest), logMillsA));
  }
  const [belowLow, belowHigh, aboveLow, aboveHigh] = [-a, -b, a, b].map(upperTail);
  return (u) => {
    const below = (1 - u) * belowLow + u * belowHigh;
    const above = (1 - u) * aboveLow + u * aboveHigh;
    const z = tailStep(0, Math.min(Math.log(2 * Math.min(below, above)), 0));
    return clip(mean + scale * (below < above ? -z : z));
  };
}
