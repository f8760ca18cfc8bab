"""Twenty-six one-token mutations of the core: each must make a test fail.

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
MUTANTS = (
    Mutant("sign of the noise term", "estimators/stein.py",
           "(level.alpha * draws.action - draws.x)", "(level.alpha * draws.action + draws.x)",
           EXACT + " -k blend_ends or optimal_matrix"),
    Mutant("sigma for alpha in the noise term", "estimators/stein.py",
           "- draws.x) / level.sigma**2", "- draws.x) / level.alpha**2",
           EXACT + " -k optimal_matrix"),
    Mutant("sign of the likelihood in h", "estimators/stein.py",
           "draws.slope - level.alpha * noise_terms", "draws.slope + level.alpha * noise_terms",
           EXACT + " -k mean_zero"),
    Mutant("a dropped boundary term", "estimators/stein.py",
           "draws.taper * posterior_score + draws.taper_slope",
           "draws.taper * posterior_score + 0 * draws.taper_slope", EXACT + " -k mean_zero"),
    Mutant("sigma for alpha in the unified estimator", "estimators/stein.py",
           "stein_terms(draws, level)) / level.alpha", "stein_terms(draws, level)) / level.sigma",
           EXACT + " -k optimal_matrix"),
    Mutant("a missing 1/tau", "draws/base.py",
           "slope = jnp.where(possible[:, None], slope, 0.0) / target.tau",
           "slope = jnp.where(possible[:, None], slope, 0.0)", EXACT + " -k optimal_matrix"),
    Mutant("unnormalised weights", "draws/base.py",
           "return softmax(draws.log_weight)", "return jnp.exp(draws.log_weight)",
           "tests/proposals tests/test_score.py -k prefix or flat_q or what_an_estimate"),
    Mutant("a missing 1/alpha in the gradient", "estimators/gradient.py",
           "draws.taper_slope) / level.alpha", "draws.taper_slope) * level.alpha",
           EXACT + " -k linear_q or blend_ends"),
    Mutant("the proposal's spread", "proposals/gaussian.py",
           "level.sigma * ndtri(uniform)", "level.alpha * ndtri(uniform)",
           "tests/proposals -k density_and_draws"),
    Mutant("sign of the posterior mean", "conversions.py",
           "(x + level.sigma**2 * score)", "(x - level.sigma**2 * score)",
           "tests/test_schedules.py -k units"),
    Mutant("the floor of the fit", "estimators/coefficients.py",
           "v = (w + FLOOR / w.size)", "v = (w + 0 / w.size)",
           EXACT + " -k fitted_matrix and 0.01"),
    Mutant("the standard error's square", "estimators/reduce.py",
           "(w[:, None] * (terms - mean)) ** 2", "w[:, None] * (terms - mean) ** 2",
           "tests/test_score.py -k repetition"),
    Mutant("sign of a polynomial's derivative", "estimators/polynomial.py",
           "place * first + m * rest", "place * first - m * rest",
           "tests/estimators/test_polynomial.py -k wall"),
    Mutant("sign of what a coefficient is shrunk to", "estimators/polynomial.py",
           "anywhere = -(met**2)", "anywhere = +(met**2)",
           "tests/estimators/test_polynomial.py -k asked"),
    Mutant("no uniform draws", "proposals/fitted.py",
           "return num_draws // SHARE", "return 0 * num_draws // SHARE",
           "tests/proposals/test_fitted.py -k many_draws"),
    Mutant("sign of Halley's correction", "proposals/truncated_normal.py",
           "(hazard - a - step)", "(hazard + a - step)",
           "tests/proposals/test_truncated_normal.py"),
    Mutant("sign of the process's correction", "estimators/quadrature.py",
           "(score - mean) / (1.0 + odds)", "(mean - score) / (1.0 + odds)",
           "tests/estimators/test_quadrature.py -k weighed"),
    Mutant("a process trusted whatever the draws are worth", "estimators/quadrature.py",
           "variance * effective_sample_size(w) *", "variance *",
           "tests/estimators/test_quadrature.py -k weighed"),
    Mutant("sign of the control variate", "estimators/controlled.py",
           "return total - part", "return total + part",
           "tests/estimators/test_controlled.py -k formulas"),
    Mutant("sign of the pull in the surrogate", "draws/surrogate.py",
           "/ law.scale**2 - pull", "/ law.scale**2 + pull",
           "tests/estimators/test_controlled.py -k slope"),
    Mutant("a process believed by what it explains itself", "proposals/smoothing.py",
           "(1.0 - leverage, LEAST)", "(1.0 - 0 * leverage, LEAST)",
           "tests/proposals/test_reshaped.py -k smoothed"),
    Mutant("sign of what a step gains", "proposals/fitted.py",
           "gain = jnp.sum((point - action)", "gain = jnp.sum((action - point)",
           "tests/proposals/test_paired.py -k looks"),
    Mutant("sign of the covariance of slopes", "gaussian_process.py",
           "(eye - apart[..., :, None]", "(eye + apart[..., :, None]",
           "tests/test_gaussian_process.py -k derivatives"),
    Mutant("a reference that never doubts itself", "diagnosis/reference.py",
           "found.score - found.mean)", "found.score - found.score)",
           "tests/diagnosis/test_parts.py -k contradict"),
    Mutant("an unresolved error counted as less", "diagnosis/table.py",
           "np.maximum(mse - own, 0.0), mse + own)", "np.maximum(mse - own, 0.0), mse - own)",
           "tests/diagnosis/test_parts.py -k bounds"),
    Mutant("gains upside down", "diagnosis/recommend.py",
           "without(mine.trace) - without(mine.error)", "without(mine.trace) + without(mine.error)",
           "tests/diagnosis/test_parts.py -k student"),
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
        command = [sys.executable, "-m", "pytest", "-q", "-x", *words[0].split()]
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
