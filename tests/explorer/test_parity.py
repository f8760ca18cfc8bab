"""The page's numbers against the core's: 200 random settings, the same uniform numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow import explorer
from steinflow.draws import weights
from steinflow.estimators.reduce import reduce
from steinflow.methods import default_proposal
from steinflow.points import Point
from steinflow.stages import from_uniforms
from steinflow.targets.separable import Separable

SHAPES = [("real", 1, 2), ("real", 2, 64), ("box", 1, 7), ("box", 2, 256)]  # support, d, N
EACH = 50  # settings of each shape: one compilation for all
CODE = """
((problem, uniform, c) => {
  const action = actions(problem, uniform.map((row) => Float64Array.from(row)));
  const draws = drawsAt(problem, action);
  const w = weights(draws);
  const estimates = estimatorsOn(problem.bounds).map((name) => {
    const found = estimate(name, draws, w, c);
    const error = standardError(name, found, draws, w).map((s) => (isFinite(s) ? s : -1));
    return [name, [...found.score, ...error, found.coefficient]];
  });
  const truth = exact(problem);
  return {
    action: action.map((row) => [...row]), ess: effectiveSampleSize(w),
    estimates: Object.fromEntries(estimates), shrunk: inSampleScalar(draws, w, 1.5),
    score: truth.score, trace: truth.trace, best: bestScalar(problem),
  };
})
"""


def settings(support, dim, count, seed):
    """Random problems of one shape: what the sliders reach, and somewhat more."""
    random = np.random.default_rng(seed)
    names = random.choice(list(explorer.FAMILIES), EACH)
    t = random.uniform(0.05, 0.98, EACH)
    flow = random.random(EACH) < 0.5
    alpha = np.where(flow, t, np.sin(0.5 * np.pi * t))
    sigma = np.where(flow, 1 - t, np.cos(0.5 * np.pi * t))
    return {
        "q": [explorer.constants()["families"][name][support][dim - 1] for name in names],
        "tau": 10 ** random.uniform(-2, 1, EACH),
        "alpha": alpha,
        "sigma": sigma,
        "x": (alpha[:, None] + 2 * sigma[:, None]) * random.uniform(-1.2, 1.2, (EACH, dim)),
        "c": random.uniform(-0.5, 1.5, EACH),
        "uniform": np.clip(random.random((EACH, count, dim)), 1e-12, 1 - 1e-12),
    }


def estimators(support, c):
    """The core's estimators by the page's names."""
    free = {
        "noise": sf.NoiseExpectation(),
        "gradient": sf.GradientExpectation("vanishing"),
        "blend": sf.Blend(c, "vanishing"),
        "in-sample-scalar": sf.ControlVariate(sf.InSample("scalar")),
    }
    if support.has_bounds:
        free["gradient-ignored"] = sf.GradientExpectation("ignored")
        free["blend-ignored"] = sf.Blend(c, "ignored")
    return free


def best_scalar(target, x, level):
    """c* of docs/formulas.md, by the core's quadrature."""
    rule = target.posterior(x, level)
    b = rule.point.T
    if target.support.has_bounds:
        phi, phi_slope = target.support.boundary_weight(b)
    else:
        phi, phi_slope = jnp.ones_like(b), jnp.zeros_like(b)
    slope = jax.vmap(jax.grad(lambda b: target.value(target.rotation.T @ b)))(b) / target.tau
    g = slope + level.alpha * (target.rotation @ x - level.alpha * b) / level.sigma**2
    square = jnp.sum(rule.weight.T * (phi * g + phi_slope) ** 2)
    return (level.alpha / level.sigma) ** 2 * jnp.sum(rule.weight.T * phi) / square


def core(support):
    """What the page computes, by the core, of many settings at once; compiled in haste."""

    def one(q, tau, alpha, sigma, x, c, uniform):
        target, level = Separable(**q, tau=tau, support=support), sf.Level(alpha, sigma)
        point = Point(x, level, support)
        draws = from_uniforms(uniform, target, point, default_proposal(support))
        result = {}
        for name, estimator in estimators(support, c).items():
            score, info = reduce(draws, point, estimator, True)
            error = jnp.where(jnp.isfinite(info.std_error), info.std_error, -1.0)
            result[name] = jnp.concatenate([score, error, info.coefficient[None]])
        return {
            "action": draws.action.T,
            "ess": sf.diagnostics.effective_sample_size(weights(draws)),
            "estimates": result,
            "shrunk": sf.InSample("scalar", shrink=1.5).fit(draws, point),
            "score": target.exact_score(x, level),
            "trace": target.exact_trace(x, level),
            "best": best_scalar(target, x, level),
        }

    return jax.jit(jax.vmap(one), compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def both(browser, tmp_path_factory):
    """(page's, core's) results of all settings, from one load of the formulas."""
    blank = tmp_path_factory.mktemp("formulas") / "formulas.html"
    blank.write_text(f"<script>{explorer.script(explorer.FORMULAS)}</script>")
    browser.open(blank)
    pairs = []
    for seed, (support, dim, count) in enumerate(SHAPES):
        given = settings(support, dim, count, seed)
        q = jax.tree.map(lambda *rows: np.stack(rows), *given["q"], is_leaf=is_list)
        bounds = explorer.constants()["bounds"][support]
        problems = [
            {"q": given["q"][i], "bounds": bounds, "x": given["x"][i].tolist()}
            | {name: float(given[name][i]) for name in ("tau", "alpha", "sigma")}
            for i in range(EACH)
        ]
        arguments = zip(
            problems, given["uniform"].transpose(0, 2, 1).tolist(), given["c"].tolist(), strict=True
        )
        said = browser.run(f"{json.dumps(list(arguments))}.map((each) => {CODE}(...each))")
        rest = [given[name] for name in ("tau", "alpha", "sigma", "x", "c", "uniform")]
        meant = jax.tree.map(np.asarray, core(explorer.SUPPORTS[support])(q, *rest))
        meant = [jax.tree.map(lambda leaf, i=i: leaf[i], meant) for i in range(EACH)]
        pairs += zip(said, meant, strict=True)
    return pairs


def is_list(leaf):
    return isinstance(leaf, list)


def difference(said, meant, scale=0.0):
    """The largest difference, relative to the size of the vector (and to scale)."""
    said, meant = np.asarray(said, float), np.asarray(meant, float)
    return np.max(np.abs(said - meant)) / max(np.max(np.abs(meant)), scale, 1e-300)


@pytest.mark.browser
def test_estimates_agree_with_the_core(both):
    """Scores, standard errors and coefficients of every estimator to 1e-6 of their size."""
    assert len(both) == 200
    worst = 0.0
    for said, meant in both:
        assert difference(said["action"], meant["action"]) < 1e-9
        assert difference(said["ess"], meant["ess"]) < 1e-6
        assert said["estimates"].keys() == meant["estimates"].keys()
        dim = len(said["score"])
        root = np.sqrt(meant["trace"])
        for name, mine in said["estimates"].items():
            mine, theirs = np.asarray(mine), meant["estimates"][name]
            parts = (mine[:dim], theirs[:dim]), (mine[dim:-1], theirs[dim:-1])
            worst = max(worst, *(difference(*part, root) for part in parts))
            worst = max(worst, difference(mine[-1], theirs[-1], 1e-3))
        worst = max(worst, difference(said["shrunk"], meant["shrunk"], 1e-3))
    print(f"parity {worst:.1e}")
    assert worst < 1e-6


@pytest.mark.browser
def test_truth_agrees_with_the_core(both):
    """exact_score to 1e-6 (|s*| + sqrt(trace)), the trace and c* to 1e-6 of themselves."""
    worst = 0.0
    for said, meant in both:
        worst = max(worst, difference(said["score"], meant["score"], np.sqrt(meant["trace"])))
        for name in ("trace", "best"):
            worst = max(worst, difference(said[name], meant[name]))
    print(f"truth {worst:.1e}")
    assert worst < 1e-6
