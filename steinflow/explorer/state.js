// What the reader has chosen. It lives in the address after #, so that a view can be shared.

const CHOICES = {
  q: Object.keys(CORE.families),
  d: ["1", "2"],
  support: Object.keys(CORE.bounds),
  schedule: ["vp", "flow"],
  theme: ["auto", "light", "dark"],
};
const RANGES = {
  tau: [0.01, 10], t: [0.05, 0.98], n: [2, 256], c: [-0.5, 1.5], seed: [1, 100],
  x1: [-20, 20], x2: [-20, 20],
};
// A slider's position s and the number it stands for, where they are not the same.
const SCALES = {
  tau: { position: Math.log10, number: (s) => Number((10 ** s).toPrecision(2)) },
  n: { position: Math.log2, number: (s) => Math.round(2 ** s) },
};
const PRESETS = [
  {
    name: "The bound",
    say: `π(a) ∝ exp(2a) ends at a bound at 1. The true score here is −10.85. The gradient as
      published forgets the bound, says +2.22, and more draws do not help it: raise N. Then move x
      away from the bound.`,
    set: { q: "linear", d: "1", support: "box", tau: 0.25, schedule: "flow", t: 0.9, n: 64,
      c: 0.5, seed: 1, x1: 0.95 },
  },
  {
    name: "No variance",
    say: `Q is linear and there is no bound: its gradient is the same at every draw, so the gradient
      is exact from the first one, and noise never is. Now give it a bound: choose the box.`,
    set: { q: "linear", d: "2", support: "real", tau: 0.5, schedule: "vp", t: 0.6, n: 32,
      c: 0.5, seed: 1, x1: 0.5, x2: -0.4 },
  },
  {
    name: "Two draws",
    say: `Q is quadratic. The control variate fits its c to the draws themselves and is exact from
      two of them, whatever the seed; noise and gradient both err. Raise N: it stays exact.`,
    set: { q: "quadratic", d: "1", support: "real", tau: 0.5, schedule: "vp", t: 0.6, n: 2,
      c: 0.5, seed: 3, x1: 1.2 },
  },
  {
    name: "One draw has it all",
    say: `Low temperature and much noise: of 64 draws few land on a mode, and those take all the
      weight (ESS). None of these estimators can mend that. Raise τ and see the dots even out.`,
    set: { q: "bimodal", d: "2", support: "real", tau: 0.02, schedule: "vp", t: 0.2, n: 64,
      c: 0.5, seed: 2, x1: 0.6, x2: -0.3 },
  },
  {
    name: "Beyond 1",
    say: `Between its two modes Q is convex, and there the best blend lies outside [0, 1]. Slide c
      from 1 to 1.2: the error of the blend falls to a seventh of the gradient's. The fitted c finds
      that place by itself.`,
    set: { q: "bimodal", d: "1", support: "real", tau: 0.5, schedule: "vp", t: 0.9, n: 64,
      c: 1, seed: 1, x1: 0.05 },
  },
  {
    name: "Rough Q",
    say: `Many narrow modes in a box. At low τ the gradients of so rough a Q point everywhere and
      noise is the better half; raise τ above 2 and it turns around.`,
    set: { q: "multimodal", d: "2", support: "box", tau: 0.1, schedule: "vp", t: 0.6, n: 128,
      c: 0.5, seed: 1, x1: 0.3, x2: 0.55 },
  },
];

const START = { ...PRESETS[0].set, x2: 0.5, theme: "auto" };

// A fragment "q=linear&tau=0.25" -> the whole state; what is unknown or absurd is as at first.
function parseState(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = { ...START };
  for (const [name, options] of Object.entries(CHOICES)) {
    if (options.includes(given.get(name))) state[name] = given.get(name);
  }
  for (const [name, [low, high]] of Object.entries(RANGES)) {
    const value = Number(given.get(name) ?? NaN);
    if (Number.isFinite(value)) state[name] = Math.min(Math.max(value, low), high);
  }
  state.n = Math.round(state.n);
  state.seed = Math.round(state.seed);
  return state;
}

// The state as a fragment, without what a view does not depend on
function writeState(state) {
  const remaining = Object.entries(state).filter(
    ([name, value]) => !(name === "theme" && value === "auto") && !(name === "x2" && state.d === "1"),
  );
  return `#${new URLSearchParams(remaining)}`;
}

// The place among PRESETS of one that a state is, else -1
function presetOf(state) {
  return PRESETS.findIndex(({ set }) =>
    Object.entries(set).every(([name, value]) => state[name] === value));
}

// (alpha, sigma) at a time from 0 (noise) to 1 (data)
function levelAt(schedule, t) {
  if (schedule === "flow") return { alpha: t, sigma: 1 - t };
  return { alpha: Math.sin(0.5 * Math.PI * t), sigma: Math.cos(0.5 * Math.PI * t) };
}

// The problem that core.js and truth.js are asked about
function problemOf(state) {
  const dim = Number(state.d);
  return {
    q: CORE.families[state.q][state.support][dim - 1],
    tau: state.tau,
    bounds: CORE.bounds[state.support],
    ...levelAt(state.schedule, state.t),
    x: [state.x1, state.x2].slice(0, dim),
  };
}
