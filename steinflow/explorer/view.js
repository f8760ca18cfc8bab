// The page: controls, what they change, and what is said about it.

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const SLIDERS = Object.keys(RANGES);
let state = parseState(location.hash);
let frames = {}; // where numbers lie on the pictures, for pointers

// The density's colour in the theme of now, as [r, g, b]
function densityColour() {
  const hex = getComputedStyle(root).getPropertyValue("--good").trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function draw() {
  const problem = problemOf(state);
  const results = answer(problem, state.n, state.c, state.seed);
  const flat = state.d === "1";
  document.body.classList.toggle("flat", flat);
  const places = ["actions", "noised", "errors", "scores"];
  const room = Object.fromEntries( // all read before anything is written: one layout, not four
    places.map((id) => [id, Math.max(byId(id).clientWidth, 240)]));
  const reach = reachOf(problem);
  if (flat) {
    byId("actions").lastElementChild.innerHTML = actionsIn1D(problem, results, room.actions);
    const [f, picture] = noisedIn1D(problem, room.noised);
    frames = { noised: f };
    byId("noised").lastElementChild.innerHTML = picture;
    byId("scores").innerHTML = scoresIn1D(problem, state, room.scores);
  } else {
    frames = { actions: plane(room.actions, reach.actions),
      noised: plane(room.noised, reach.points) };
    const densities = { actions: logTarget(problem), noised: logNoised(problem, reach.points) };
    for (const id in frames) shade(byId(id).firstElementChild, frames[id], densities[id], densityColour());
    byId("actions").lastElementChild.innerHTML = actionsIn2D(frames.actions, problem, results);
    byId("noised").lastElementChild.innerHTML = noisedIn2D(frames.noised, problem, results);
  }
  byId("errors").innerHTML = errorsPicture(problem, state, results, room.errors);
  byId("rows").innerHTML = rows(results);
  byId("ess").innerHTML = `<b>ESS ${written(results.ess)}</b> of ${state.n} draws.`;
  byId("notes").textContent = notes(problem, results).join(" ");
  later(() => {
    byId("summary").textContent = summary(problem, results);
    try { history.replaceState(null, "", writeState(state)); } catch { /* a page without address */ }
  });
}

let timer;
function later(action) {
  clearTimeout(timer);
  timer = setTimeout(action, 250);
}

// What to keep in mind when reading the table
function notes({ bounds }, { ess }) {
  const all = {
    "With ESS below 30 the ± are lower bounds.": ess < 30,
    "“As published” drops the boundary term of the box.": bounds,
    "Linear Q cannot be normalised on Rᵈ, but the posterior and the score exist.":
      !bounds && state.q === "linear",
  };
  return Object.keys(all).filter((text) => all[text]);
}

// What a reader who does not see the pictures should know
function summary(problem, { ess, truth, best, estimates }) {
  const order = [...estimates].sort((a, b) => a.error - b.error);
  const off = ({ name, error }) => `${NAMES[name]}, off by ${written(error)}`;
  return `At x = ${vector(problem.x)} the true score is ${vector(truth.score)}. The ${state.n} draws ` +
    `are worth ${written(ess)} of equal weight. Nearest: ${off(order[0])}. Farthest: ` +
    `${off(order.at(-1))}. With exact draws the best c would be ${written(best)}.`;
}

// Bring every control to the state
function show() {
  const level = levelAt(state.schedule, state.t);
  const problem = problemOf(state);
  const reach = reachOf(problem).points;
  for (const name of SLIDERS) {
    const input = byId(name);
    if (name[0] === "x") [input.min, input.max] = [-reach, reach].map((v) => v.toFixed(2));
    input.value = SCALES[name]?.position(state[name]) ?? state[name];
    const text = name === "t" ? `α ${written(level.alpha)}, σ ${written(level.sigma)}`
      : written(state[name]);
    byId(`${name}-out`).textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
  for (const name of ["q", "d", "support", "schedule"]) byId(name).value = state[name];
  byId("theme").textContent = `Colours: ${state.theme}`;
  tell();
  draw();
}

// Choose the dark colours of the style sheet always, never, or as the reader's system does.
function dress() {
  const query = "(prefers-color-scheme: dark)";
  const wanted = { auto: query, dark: "all", light: "not all" }[state.theme];
  for (const rule of document.styleSheets[0].cssRules) {
    if (rule.media && (rule.dark ??= rule.media.mediaText.includes("color-scheme"))) {
      rule.media.mediaText = wanted;
    }
  }
  root.style.colorScheme = state.theme === "auto" ? "light dark" : state.theme;
}

function change(what) {
  state = { ...state, ...what };
  show();
}

// What to try at a preset; the sentence stays while the reader tries it.
function tell() {
  const index = presetOf(state);
  if (index >= 0) byId("try").textContent = PRESETS[index].say.replace(/\s+/g, " ");
  document.querySelectorAll("#presets button").forEach((button, i) =>
    button.setAttribute("aria-pressed", i === index));
}

// Move x to where the pointer is
function pointAt(event) {
  const box = byId("noised").lastElementChild.getBoundingClientRect();
  const f = frames.noised;
  const reach = f.xs[1];
  const clip = (v) => Number(Math.min(Math.max(v, -reach), reach).toFixed(3));
  const x1 = clip(f.a(event.clientX - box.left));
  change(state.d === "1" ? { x1 } : { x1, x2: clip(f.b(event.clientY - box.top)) });
}

function step(event) {
  const moves = { ArrowLeft: ["x1", -1], ArrowRight: ["x1", 1], ArrowDown: ["x2", -1], ArrowUp: ["x2", 1] };
  const [name, sign] = moves[event.key] ?? [];
  if (!name || (name === "x2" && state.d === "1")) return;
  event.preventDefault();
  const reach = frames.noised.xs[1];
  const next = state[name] + sign * reach * (event.shiftKey ? 0.1 : 0.02);
  change({ [name]: Number(Math.min(Math.max(next, -reach), reach).toFixed(3)) });
}

function start() {
  for (const name of SLIDERS) {
    byId(name).addEventListener("input", ({ target }) => {
      change({ [name]: SCALES[name]?.number(Number(target.value)) ?? Number(target.value) });
    });
  }
  for (const name of ["q", "d", "support", "schedule"]) {
    byId(name).addEventListener("change", ({ target }) => change({ [name]: target.value }));
  }
  PRESETS.forEach(({ name }, i) => {
    const button = Object.assign(document.createElement("button"), { textContent: name });
    button.addEventListener("click", () => change(PRESETS[i].set));
    byId("presets").append(button);
  });
  const noisedPlot = byId("noised");
  noisedPlot.addEventListener("pointerdown", (event) => {
    noisedPlot.setPointerCapture(event.pointerId);
    pointAt(event);
  });
  noisedPlot.addEventListener("pointermove", (event) => event.buttons && pointAt(event));
  noisedPlot.addEventListener("keydown", step);
  byId("again").addEventListener("click", () => change({ seed: (state.seed % 100) + 1 }));
  byId("theme").addEventListener("click", () => {
    const next = { auto: "dark", dark: "light", light: "auto" };
    state.theme = next[state.theme];
    dress();
    show();
  });
  addEventListener("hashchange", () => {
    state = parseState(location.hash);
    dress();
    show();
  });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  dress();
  show();
}

start();
