"""What a training run can be told: every option with its default, unit and meaning."""

import math
from dataclasses import dataclass, fields

from steinflow.checks import lookup, require_at_least
from steinflow.methods import ESTIMATORS
from steinflow.samplers import SAMPLERS

SCORED = 24  # states of an update by score targets, where nothing else is asked for


@dataclass(frozen=True)
class TrainConfig:
    """Options of `steinflow train`."""

    estimator: str = "auto"
    """score-target estimator: a key of ESTIMATORS"""
    policy: str = "flow"
    """flow (linear path), diffusion (variance preserving), diffusion-ve (variance exploding), or
    gaussian (SAC)"""
    steps: int = 100_000
    """environment steps a seed"""
    seeds: int = 1
    """seeds trained side by side"""
    seed: int = 0
    """the first of them"""
    data: str = ""
    """offline data: a Minari dataset (its folder, or its name) or a file of D4RL's layout"""
    offline_steps: int = 0
    """steps of learning from the data alone, before those in the environment; they are counted with
    them, and --steps is 0 where it is not given"""
    data_share: float = 0.5
    """share of the data in a batch, once there are steps of the environment as well"""
    num_envs: int = 1
    """environments a seed"""
    action_repeat: int = 1
    """frames that an action is repeated for, their rewards summed; where it is not 1, steps,
    warmup, eval_every and log_every count frames, and all else these decisions"""

    num_draws: int = 12
    """draws N of Q a state and noise level"""
    num_levels: int = 2
    """noise levels a state; they share their draws"""
    particles: int = 1
    """actions of the policy a next state, M in the backup"""
    acting_particles: int = 8
    """actions the policy proposes when it acts; one is drawn in proportion to exp(Q/tau)"""
    eval_particles: int = 8
    """actions it proposes in evaluations; the best by Q is taken"""
    actor_points: str = "next"
    """where the policy is trained: next (at s', on the sample of the TD target), policy (at s, on a
    sample drawn in proportion to exp(Q/tau)), or replay (at s, on the action that was taken)"""
    objective: str = "score"
    """what the policy learns: score (score targets of exp(Q/tau)), cloning (denoising of the
    replay's actions), weighted (the same, weighed by exp((Q - V)/tau): their policy times
    exp(Q/tau)), or diffusion-ql (cloning, less Q of its own samples over the mean |Q|)"""
    q_weight: float = 1.0
    """weight of Q in diffusion-ql"""
    flow_steps: int = 5
    """steps of the sampler a sample"""
    sampler: str = "ode"
    """how a policy by denoising is sampled: ode (probability flow, DDIM), ddpm (ancestral), or sde
    (Euler-Maruyama)"""
    corrector: float = 0.0
    """signal-to-noise ratio of a Langevin step after each step of the sampler; 0 is none"""

    temperature: float = 0.02
    """tau of pi(a) ∝ exp(Q/tau): in units of return (fixed), of Q's spread over the box (relative),
    or the share of draws that the effective sample size is steered to (ess)"""
    temperature_mode: str = "relative"
    """fixed, relative or ess"""

    batch_size: int = 256
    """transitions an update"""
    actor_batch: int = 0
    """of these, states at which the policy is updated; 0: 24 with score targets, else all"""
    buffer_size: int = 1_000_000
    """transitions kept"""
    gamma: float = 0.99
    """discount a step"""
    polyak: float = 0.1
    """share of the critics that their targets take over an update; .005 in SAC as published"""
    n_step: int = 1
    """rewards before the bootstrap"""
    updates_per_step: float = 1.0
    """updates an environment step"""
    policy_delay: int = 2
    """critic updates per actor update"""
    chunk: int = 16
    """environment steps between two calls of the compiled update"""
    warmup: int = 1_000
    """steps of uniform actions before learning"""
    critic_lr: float = 1e-3
    """learning rate of the critics (Adam)"""
    actor_lr: float = 3e-4
    """learning rate of the policy (Adam)"""
    anneal: float = 0.0
    """share of the run, at its end, over which both learning rates fall linearly to 0"""
    clip_norm: float = 0.0
    """largest norm of a gradient; 0 is none"""
    reward_scale: float = 1.0
    """factor of rewards in the critics' targets, besides their normalisation"""
    normalise_rewards: bool = True
    """rewards over max(std G, max |G|/return_bound) of the discounted return G so far"""
    return_bound: float = 5.0
    """largest normalised return; 0: rewards are over std G alone"""
    normalise: bool = True
    """observations in running means and standard deviations"""
    backup: str = "hard"
    """value of a next state: hard (best of M), mean, or soft"""
    critic: str = "categorical"
    """categorical (101 atoms on [-5, 5], cross-entropy; for normalised rewards) or mse"""
    critics: int = 2
    """size of the ensemble; the least counts"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of hidden layers of the critics, and of the policy"""
    actor_hidden: tuple[int, ...] = ()
    """widths of the policy's, where they differ"""
    critic_norm: bool = True
    """layer normalisation in the critics"""

    eval_every: int = 5_000
    """steps between evaluations"""
    eval_episodes: int = 10
    """episodes an evaluation"""
    keep: int = 2
    """checkpoints kept, besides the best"""
    log_every: int = 1_000
    """steps between records of the losses"""
    env_timeout: float = 60.0
    """seconds that an environment may take for a step; 0 is no limit"""
    eval_envs: int = 0
    """environments that an evaluation opens, which share its episodes; 0: one an episode; 1: none
    beside those that train, which evaluate in turn"""
    eval_max_steps: int = 0
    """steps after which an episode of an evaluation is cut; 0: 10,000"""
    env_workers: int = 0
    """processes that step the environments of a run; 0: this one"""
    drop_nan: bool = False
    """drop and count episodes in which the environment gives what is not finite, instead of ending
    the run"""

    @property
    def all_steps(self) -> int:
        """Steps a seed, those of learning from the data alone included."""
        return self.offline_steps + self.steps

    @property
    def first_step(self) -> int:
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
    def points(self) -> str:
        """Where the policy is trained: on the replay's actions, where it learns them."""
        return self.actor_points if self.objective == "score" else "replay"

    @property
    def policy_states(self) -> int:
        """States of an update of the policy."""
        scored = self.policy != "gaussian" and self.objective == "score"
        usual = SCORED if scored else self.batch_size
        return min(self.actor_batch or usual, self.batch_size)

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
    "env_workers",
)  # fmt: skip
COUNTS = (
    "seeds", "num_envs", "action_repeat", "num_draws", "num_levels", "particles",
    "acting_particles", "eval_particles", "flow_steps", "batch_size", "buffer_size", "n_step",
    "policy_delay", "chunk", "critics", "eval_every", "eval_episodes", "keep", "log_every",
)  # fmt: skip
