"""What was measured, as tables."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Array

from steinflow.diagnosis.errors import Group, Losses
from steinflow.diagnosis.reference import Reference
from steinflow.diagnostics import EED_CAP
from steinflow.levels import Level
from steinflow.methods import Method
from steinflow.proposals import FittedProposal
from steinflow.supports import AbstractSupport

RESOLVED = 0.1  # share of a squared error that the reference may err itself


class Measured(NamedTuple):
    """Everything that was measured."""

    groups: list[Group]
    sizes: tuple[int, ...]
    factors: tuple[float, ...]
    levels: Level
    references: dict[tuple[str, float], Reference]
    losses: dict[tuple[int, float], Losses]
    support: AbstractSupport
    points: dict[str, Array]  # noisy, by space, [b, l, d]

    def reference(self, group: Group, factor: float) -> Reference:
        """What a group is held against."""
        hidden = group.space == "tanh" and self.support.has_bounds
        return self.references["tanh" if hidden else "action", factor]

    def errors(self, number: int, member: int, factor: float) -> np.ndarray:
        """Mean squared errors [b, n, l] of a method, less what the reference errs; where that is
        not resolved, more by it: EED is then at least what it says."""
        mse, reference_mse = self.raw(number, member, factor)
        sound = self.resolved(number, member, factor)
        return np.where(sound, np.maximum(mse - reference_mse, 0.0), mse + reference_mse)

    def resolved(self, number: int, member: int, factor: float) -> np.ndarray:
        """Whether the reference errs at most a tenth of a squared error, [n, l]."""
        mse, reference_mse = self.raw(number, member, factor)
        return np.asarray(reference_mse.sum(0) <= RESOLVED * (mse - reference_mse).sum(0))

    def raw(self, number: int, member: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared distances to the reference [b, n, l], and what it errs [b, 1, l]."""
        mse = np.asarray(self.losses[number, factor].error, float)[:, member]
        reference_mse = np.asarray(self.reference(self.groups[number], factor).mse, float)
        return mse, reference_mse[:, None]


def cost_of(method: Method, dim: int, size: int) -> int:
    """Critic calls a point: a value a draw, and gradients where they are asked for."""
    needs = method.estimator.needs(dim)
    gradient = needs.gradient or isinstance(method.proposal, FittedProposal)
    return size * (1 + gradient + dim * needs.hessian)


def tabulate(measured: Measured, tau: float) -> pl.DataFrame:
    """A row an estimator, number of draws, level and temperature; sums over states.

    eed = Σ trace/Σ mse; target_error is the root mean square error of E[a|x], in units of the
    action (null in the tanh latent); resolved: the squared error of the reference
    is at most a tenth of the mse; otherwise eed is at least, and mse at most, what it says.
    """
    lines: list[dict[str, Any]] = []
    alpha, sigma = (
        np.asarray(leaf, float) for leaf in (measured.levels.alpha, measured.levels.sigma)
    )
    for number, group in enumerate(measured.groups):
        for factor in measured.factors:
            reference = measured.reference(group, factor)
            trace, unsure = np.asarray(reference.trace, float), np.asarray(reference.mse, float)
            dim = reference.score.shape[-1]
            ess = np.asarray(measured.losses[number, factor].ess, float).mean(axis=0)
            for member, (name, method) in enumerate(group.methods):
                mse = measured.errors(number, member, factor)
                sound = measured.resolved(number, member, factor)
                hidden = group.space == "tanh" and measured.support.has_bounds
                for n, size in enumerate(measured.sizes):
                    for level in range(len(alpha)):
                        total = mse[:, n, level].sum()
                        scale = sigma[level] ** 2 / alpha[level]
                        error = None if hidden else scale * float(np.sqrt(mse[:, n, level].mean()))
                        share = float(unsure[:, level].sum() / max(total, 1e-300))
                        lines.append({
                            "estimator": name, "num_draws": size,
                            "cost": cost_of(method, dim, size), "factor": factor,
                            "tau": tau * factor, "alpha": alpha[level], "sigma": sigma[level],
                            "ess": float(ess[n, level]), "mse": float(mse[:, n, level].mean()),
                            "eed": float(min(trace[:, level].sum() / max(total, 1e-300), EED_CAP)),
                            "target_error": error, "reference_share": share,
                            "resolved": bool(sound[n, level]),
                        })  # fmt: skip
    return pl.DataFrame(lines, schema_overrides={"target_error": pl.Float64})


def tabulate_boundary(measured: Measured, tau: float) -> pl.DataFrame:
    """A row a level and temperature: what the gradient as published errs for ever.

    bias is the root of Σ |bias|²/Σ |s*|² over states, less the reference's own error; boundary is
    the posterior mass within a hundredth of the width of a bound, mean over dimensions (a flat
    Q has .02).
    """
    lines = []
    alpha, sigma = (
        np.asarray(leaf, float) for leaf in (measured.levels.alpha, measured.levels.sigma)
    )
    for factor in measured.factors:
        reference = measured.references["action", factor]
        for level in range(len(alpha)):
            score = np.sum(np.asarray(reference.score, float)[:, level] ** 2)
            unsure = np.sum(np.asarray(reference.bias_mse, float)[:, level])
            square = np.sum(np.asarray(reference.bias, float)[:, level] ** 2)
            lines.append({
                "factor": factor, "tau": tau * factor, "alpha": alpha[level], "sigma": sigma[level],
                "boundary": float(np.mean(reference.boundary[:, level])),
                "bias": float(np.sqrt(max(square - unsure, 0.0) / max(score, 1e-300))),
                "bias_error": float(np.sqrt(unsure / max(score, 1e-300))),
            })  # fmt: skip
    return pl.DataFrame(lines)
