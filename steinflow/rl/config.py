"""What a training run can be told: every option with its default, unit and meaning."""

import math
from dataclasses import dataclass, fields

from steinflow.checks import lookup, require_at_least
from steinflow.methods import ESTIMATORS
from steinflow.rl.options import (
    CriticOptions,
    DataOptions,
    EnvironmentOptions,
    EstimatorOptions,
    EvaluationOptions,
    ExplorationOptions,
    LoggingOptions,
    MainOptions,
    PolicyOptions,
    UpdateOptions,
)
from steinflow.samplers import SAMPLERS

SCORED = 24  # states of an update by score targets, where nothing else is asked for
PROPOSALS = 8  # actions that one is chosen from, likewise


@dataclass(frozen=True)
class TrainConfig(
    LoggingOptions,
    EvaluationOptions,
    EnvironmentOptions,
    DataOptions,
    ExplorationOptions,
    UpdateOptions,
    CriticOptions,
    EstimatorOptions,
    PolicyOptions,
    MainOptions,
):
    """Options of `steinflow train`: those of every group (`options.py`), which go together.

    Raises:
        ValueError: an option is out of its range, or does not go with another.
    """

    @property
    def all_steps(self) -> int:
        """Steps a seed, those of learning from the data alone included."""
        return self.offline_steps + self.steps

    @property
    def warmup_steps(self) -> int:
        """Steps before the first update: data needs no warm-up."""
        return 0 if self.offline_steps else self.warmup

    @property
    def whole_steps(self) -> int:
        """Steps a seed that are done: all environments take one at a time."""
        return -(-self.all_steps // self.num_envs) * self.num_envs

    @property
    def frames(self) -> int:
        """Environment steps of a seed, while each of its environments takes one action."""
        return self.num_envs * self.action_repeat

    @property
    def has_score_targets(self) -> bool:
        """Whether the policy learns score targets, from draws of Q."""
        return self.policy != "gaussian" and self.objective == "score"

    @property
    def points(self) -> str:
        """Where the policy is trained: on the replay's actions, where it learns them."""
        return self.actor_points if self.objective == "score" else "replay"

    @property
    def policy_states(self) -> int:
        """States of an update of the policy."""
        usual = SCORED if self.has_score_targets else self.batch_size
        return min(self.actor_batch or usual, self.batch_size)

    def proposals(self, greedy: bool) -> int:
        """Actions that the policy proposes when it acts or, greedy, in evaluations. One where
        it is that of offline data: the best of several by Q would be one that the data lack."""
        given = self.eval_particles if greedy else self.acting_particles
        return given or (1 if self.objective in ("cloning", "weighted") else PROPOSALS)

    @property
    def policy_hidden(self) -> tuple[int, ...]:
        """Widths of the policy's hidden layers."""
        return self.actor_hidden or self.hidden

    def __post_init__(self) -> None:
        lookup("estimator", self.estimator, ESTIMATORS)
        for name, known in CHOICES.items():
            lookup(name.replace("_", " "), getattr(self, name), dict.fromkeys(known))
        for name in COUNTS:
            require_at_least(name, getattr(self, name), 1, "It is a count.")
        self._check_objective()
        self._check_data()
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name} must be finite, got {value}.")
        for name in NATURALS:
            require_at_least(name, getattr(self, name), 0, "It is a count.")
        for name in ("clip_norm", "env_timeout", "return_bound", "corrector", "q_weight"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.seed + self.seeds >= 2**31:
            raise ValueError(f"seed must be below 2^31, got {self.seed}.")
        if self.env_workers and self.num_envs * self.seeds == 1:
            raise ValueError(
                "env_workers shares out the environments of a run, but num_envs is 1. Add "
                f"--num-envs {max(2, self.env_workers)}."
            )
        if not self.hidden:
            raise ValueError("hidden is empty. Give at least one width.")
        for width in self.hidden + self.actor_hidden:
            require_at_least("hidden", width, 1, "It is the width of a layer.")
        if self.actor_points == "replay" and ESTIMATORS[self.estimator].space == "tanh":
            raise ValueError(
                f"actor_points replay gives actions, but {self.estimator} works in their tanh "
                "latent. Choose next or policy."
            )
        for name in ("gamma", "polyak"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in (0, 1], got {getattr(self, name)}.")
        for name in ("anneal", "data_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
        for name in ("temperature", "critic_lr", "actor_lr", "updates_per_step", "reward_scale"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")

    def _check_objective(self) -> None:
        """Raise where what the policy learns does not go with other options.

        Raises:
            ValueError: with the option to change.
        """
        if self.objective == "score":
            return
        if self.policy == "gaussian":
            raise ValueError(
                f"objective {self.objective} denoises, but the policy is gaussian. Choose flow or "
                "diffusion."
            )
        if ESTIMATORS[self.estimator].space != "action":
            raise ValueError(
                f"objective {self.objective} takes actions in their box, where {self.estimator} "
                "does not work. Choose another estimator; it is not used otherwise."
            )
        if self.temperature_mode == "ess" and self.objective != "weighted":
            raise ValueError(
                f"objective {self.objective} has no weights for temperature_mode ess. Choose "
                "relative or fixed."
            )
        given = (self.temperature_mode, self.temperature)
        if self.objective == "weighted" and given == ("relative", MainOptions.temperature):
            raise ValueError(
                f"objective weighted needs a temperature of its own: {self.temperature} of Q's "
                "spread would give few states all of the weight. Add temperature_mode ess and "
                "temperature 0.5 (--temperature-mode ess --temperature 0.5)."
            )

    def _check_data(self) -> None:
        """Raise where an option would have no effect, since there is no data or nothing to sample.

        Raises:
            ValueError: with the option to change.
        """
        if self.offline_steps and not self.data:
            raise ValueError("offline_steps learns from data. Add --data, or leave it out.")
        if self.data_share != DataOptions.data_share and not self.data:
            raise ValueError("data_share is a share of data. Add --data, or leave it out.")
        for name in ("sampler", "corrector"):
            value = getattr(self, name)
            if self.policy == "gaussian" and value != getattr(PolicyOptions, name):
                raise ValueError(
                    f"{name} {value} is for a policy by denoising, but the policy is gaussian. "
                    f"Leave it out (--{name} {getattr(PolicyOptions, name)})."
                )


CHOICES = {
    "policy": ("flow", "diffusion", "diffusion-ve", "gaussian"),
    "sampler": tuple(SAMPLERS),
    "objective": ("score", "cloning", "weighted", "diffusion-ql"),
    "backup": ("hard", "mean", "soft"),
    "critic": ("categorical", "mse"),
    "temperature_mode": ("fixed", "relative", "ess"),
    "actor_points": ("next", "policy", "replay"),
}
NATURALS = (
    "steps", "offline_steps", "warmup", "seed", "actor_batch", "eval_envs", "eval_max_steps",
    "env_workers", "acting_particles", "eval_particles",
)  # fmt: skip
COUNTS = (
    "seeds", "num_envs", "action_repeat", "num_draws", "num_levels", "particles", "flow_steps",
    "batch_size", "buffer_size", "n_step", "policy_delay", "chunk", "critics", "eval_every",
    "eval_episodes", "keep", "log_every",
)  # fmt: skip
