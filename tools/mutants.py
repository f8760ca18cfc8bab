"""Thirty-five one-token mutations of the core: each must make a test fail.

    make mutants

Every mutant is a copy of the package with one token changed, tested in its own process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Mutant(NamedTuple):
    """One change, and the tests that should notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str


EXACT = "tests/estimators/test_exactness.py"
BY_HAND = "tests/estimators/test_by_hand.py"
DISTRIBUTIONS = "tests/proposals/test_by_hand.py"
SHRUNK = "tests/estimators/test_shrunk.py -k formulas"
FITTED = "tests/proposals/test_fitted.py"
ASK_TELL = "tests/test_ask_tell.py"
SPACES = "tests/test_spaces.py"
MUTANTS = (
    Mutant("sign of the noise term", "estimators/stein.py",
           "(point.level.alpha * draws.action - point.x)",
           "(point.level.alpha * draws.action + point.x)", BY_HAND + " -k the_terms"),
    Mutant("sigma for alpha in the noise term", "estimators/stein.py",
           "- point.x) / point.level.sigma**2", "- point.x) / point.level.alpha**2",
           BY_HAND + " -k the_terms"),
    Mutant("sign of the likelihood in h", "estimators/stein.py",
           "draws.gradient - point.level.alpha", "draws.gradient + point.level.alpha",
           EXACT + " -k mean_zero"),
    Mutant("a boundary term that is taken off", "estimators/stein.py",
           "posterior_score(draws, point) + weight_gradient",
           "posterior_score(draws, point) - weight_gradient", EXACT + " -k mean_zero"),
    Mutant("sigma for alpha in the unified estimator", "estimators/stein.py",
           "stein / point.level.alpha", "stein / point.level.sigma",
           EXACT + " -k optimal_matrix"),
    Mutant("a missing 1/tau", "draws/evaluate.py",
           "gradient, 0.0) / tau", "gradient, 0.0) * tau", EXACT + " -k optimal_matrix"),
    Mutant("what is invalid taken for impossible", "draws/evaluate.py",
           "bad & possible)", "bad & ~possible)", ASK_TELL + " -k impossible"),
    Mutant("unnormalised weights", "draws/base.py",
           "return softmax(draws.log_weight)", "return jnp.exp(draws.log_weight)",
           BY_HAND + " -k weighted_mean"),
    Mutant("sign of the prior weight", "draws/base.py",
           "return self.value + self.log_prior", "return self.value - self.log_prior",
           BY_HAND + " -k weighted_mean"),
    Mutant("a missing 1/alpha in the gradient", "estimators/gradient.py",
           "weight_gradient) / point.level.alpha", "weight_gradient) * point.level.alpha",
           BY_HAND + " -k noise_gradient"),
    Mutant("the proposal's spread", "proposals/gaussian.py",
           "point.level.sigma * ndtri(uniform)", "point.level.alpha * ndtri(uniform)",
           DISTRIBUTIONS + " -k quantiles"),
    Mutant("sign of Halley's correction", "truncated_normal.py",
           "(hazard - a - step)", "(hazard + a - step)",
           "tests/test_truncated_normal.py"),
    Mutant("sign of the posterior mean", "conversions.py",
           "(x + level.sigma**2 * score)", "(x - level.sigma**2 * score)",
           "tests/test_schedules.py -k units"),
    Mutant("the floor of the fit", "estimators/coefficients.py",
           "v = (w + FLOOR / w.size)", "v = (w + 0 / w.size)",
           EXACT + " -k fitted_matrix and 0.01-2"),
    Mutant("sign of the Laplace-Fisher precision", "estimators/coefficients.py",
           "precision = -jnp.tensordot", "precision = +jnp.tensordot",
           BY_HAND + " -k curvature"),
    Mutant("the standard error's square", "estimators/reduce.py",
           "(w[:, None] * (terms - mean)) ** 2", "w[:, None] * (terms - mean) ** 2",
           BY_HAND + " -k weighted_mean"),
    Mutant("reliable from too few draws", "estimators/reduce.py",
           "(ess >= RELIABLE_ESS) &", "(ess <= RELIABLE_ESS) &", BY_HAND + " -k reliable"),
    Mutant("a fold judged by another's fit", "estimators/shrunk.py",
           "coefficient[fold]", "coefficient[-fold]", SHRUNK),
    Mutant("an unseen draw that narrows the error", "estimators/shrunk.py",
           "1.0 - jnp.sqrt(jnp.sum(w**2))", "1.0 + jnp.sqrt(jnp.sum(w**2))", SHRUNK),
    Mutant("an error of the fit to all", "estimators/reduce.py",
           "_, std_error = weighted_mean(draws, estimator.independent_terms(",
           "_, std_error = weighted_mean(draws, estimator.terms(", SHRUNK),
    Mutant("sign of what is not believed", "estimators/shrunk.py",
           "1.0 - unexplained", "1.0 + unexplained", SHRUNK),
    Mutant("phi as flat as 1 - r^2", "estimators/shrunk.py",
           "gradient = 1.0 - rest * square, power * rest",
           "gradient = 1.0 - rest * square, power + rest", SHRUNK),
    Mutant("sign of the regression", "proposals/fitted.py",
           "fall = -jnp.sum(", "fall = +jnp.sum(", FITTED + " -k formulas"),
    Mutant("sign of the pull to the likelihood", "proposals/fitted.py",
           "(mean_gradient + pull)", "(mean_gradient - pull)", FITTED + " -k formulas"),
    Mutant("a scale that loses the gradient at the bound", "proposals/fitted.py",
           "reach / jnp.where(far, gradient", "reach * jnp.where(far, gradient",
           FITTED + " -k reach"),
    Mutant("sign of the mixture", "stages.py",
           "(action, points) - mixture", "(action, points) + mixture",
           DISTRIBUTIONS + " -k mixture"),
    Mutant("the share of a stage upside down", "stages.py",
           "log_q + log_sizes", "log_q - log_sizes", DISTRIBUTIONS + " -k mixture"),
    Mutant("turns that draw the same numbers", "ask_tell.py",
           "(state.keys, stage)", "(state.keys, 0 * stage)", ASK_TELL + " -k later_turns"),
    Mutant("done before it is told", "ask_tell.py",
           "len(self.evaluations) == len(self.sizes)", "len(self.evaluations) <= len(self.sizes)",
           ASK_TELL + " -k sentence"),
    Mutant("drawn anew when asked again", "ask_tell.py",
           "if len(state.stages) == len(state.evaluations):\n        stage",
           "if len(state.stages) >= len(state.evaluations):\n        stage",
           ASK_TELL + " -k asked_again"),
    Mutant("sign of the Jacobian's gradient", "spaces.py",
           "- 2.0 * tau * jnp.tanh(y)", "+ 2.0 * tau * jnp.tanh(y)", SPACES),
    Mutant("a gradient beyond the bounds", "spaces.py",
           "(y > low) & (y < high)", "(y > low) | (y < high)", SPACES),
    Mutant("a reference that never doubts itself", "diagnosis/reference.py",
           "moments.score - moments.mean)", "moments.score - moments.score)",
           "tests/diagnosis/test_reference.py -k contradict"),
    Mutant("an unresolved error counted as less", "diagnosis/table.py",
           "np.maximum(mse - reference_mse, 0.0), mse + reference_mse)",
           "np.maximum(mse - reference_mse, 0.0), mse - reference_mse)",
           "tests/diagnosis/test_table.py -k bounds"),
    Mutant("gains upside down", "diagnosis/recommend.py",
           "without(candidate.trace) - without(candidate.error)",
           "without(candidate.trace) + without(candidate.error)",
           "tests/diagnosis/test_recommend.py -k student"),
)  # fmt: skip


def killed(file: str, text: str, tests: str, seconds: float = 1800.0) -> bool:
    """Whether tests fail, or hang, where a file of the package has another text.

    Raises:
        SystemExit: they end in another way than by failing.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("steinflow", "tests"):
            shutil.copytree(ROOT / name, Path(folder) / name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (Path(folder) / "steinflow" / file).write_text(text)
        words = tests.split(" -k ")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", *words[0].split()]
        command += ["-k", words[1]] if len(words) > 1 else []
        more = {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1",
                "JAX_COMPILATION_CACHE_DIR": str(ROOT / "build" / "compiled")}  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=folder, env=os.environ | more, capture_output=True, text=True,
                check=False, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return True
        if done.returncode in (0, 1) or "ImportError while loading conftest" in done.stderr:
            return done.returncode != 0
        if done.returncode == 2 and "error" in done.stdout:  # it cannot be imported
            return True
        raise SystemExit(f"{file}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}")


def mutated(mutant: Mutant) -> str:
    """The text of its file."""
    text = (ROOT / "steinflow" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times.")
    return text.replace(mutant.old, mutant.new)


def main() -> int:
    """Print a line a mutant; 1 if any survived."""
    survivors = 0
    for number, mutant in enumerate(MUTANTS, 1):
        dead = killed(mutant.file, mutated(mutant), mutant.tests)
        survivors += not dead
        print(f"{number:2} {'killed  ' if dead else 'SURVIVED'} {mutant.what}", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} killed")
    return int(survivors > 0)


if __name__ == "__main__":
    raise SystemExit(main())
