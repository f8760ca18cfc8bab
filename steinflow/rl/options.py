"""Every option of a training run with its default, unit and meaning, by group."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MainOptions:
    """Options that people change first."""

    policy: str = "flow"
    """flow (linear path), diffusion (variance preserving), diffusion-ve (variance exploding), or
    gaussian (SAC)"""
    estimator: str = "auto"
    """score-target estimator: a key of ESTIMATORS"""
    num_draws: int = 12
    """evaluations N of Q per state and noise level"""
    temperature: float = 0.02
    """tau of pi(a) ∝ exp(Q/tau): in units of return (fixed), of Q's spread over the box (relative),
    or the share of draws that the effective sample size is steered to (ess)"""
    gamma: float = 0.99
    """discount per step"""
    steps: int = 100_000
    """environment steps per seed"""
    seeds: int = 1
    """seeds trained side by side"""
    seed: int = 0
    """the first of them"""
    num_envs: int = 1
    """environments per seed"""
    eval_every: int = 5_000
    """steps between evaluations"""


@dataclass(frozen=True)
class PolicyOptions:
    """The policy: what it learns, where, and how it is sampled."""

    objective: str = "score"
    """what the policy learns: score (score targets of exp(Q/tau)), cloning (denoising of the
    replay's actions), weighted (the same, weighed by exp((Q - V)/tau): their policy times
    exp(Q/tau)), or diffusion-ql (cloning, less Q of its own samples over the mean |Q|)"""
    q_weight: float = 1.0
    """weight of Q in diffusion-ql"""
    actor_points: str = "next"
    """where the policy is trained: next (at s', on the sample of the TD target), policy (at s, on a
    sample drawn in proportion to exp(Q/tau)), or replay (at s, on the action that was taken)"""
    actor_batch: int = 0
    """how many states of a batch the policy is updated at; 0 means 24 with score targets, and all
    of them without"""
    policy_delay: int = 3
    """critic updates per actor update"""
    actor_lr: float = 3e-4
    """learning rate of the policy (Adam)"""
    actor_hidden: tuple[int, ...] = ()
    """widths of the policy's hidden layers, where they differ"""
    flow_steps: int = 5
    """steps of the sampler per action"""
    sampler: str = "ode"
    """how a policy by denoising is sampled: ode (probability flow, DDIM), ddpm (ancestral), or sde
    (Euler-Maruyama)"""
    corrector: float = 0.0
    """signal-to-noise ratio of a Langevin step after each step of the sampler; 0 is none"""


@dataclass(frozen=True)
class EstimatorOptions:
    """Score targets of exp(Q/tau)."""

    num_levels: int = 2
    """noise levels per state; they share their draws"""
    temperature_mode: str = "relative"
    """fixed, relative or ess"""


@dataclass(frozen=True)
class CriticOptions:
    """The critics and their targets."""

    critic: str = "categorical"
    """categorical (51 atoms on [-5, 5], cross-entropy; for normalised rewards) or mse"""
    critics: int = 2
    """size of the ensemble; the least counts"""
    hidden: tuple[int, ...] = (256, 256)
    """widths of hidden layers of the critics, and of the policy"""
    critic_norm: bool = True
    """layer normalisation in the critics"""
    critic_lr: float = 1e-3
    """learning rate of the critics (Adam)"""
    polyak: float = 0.1
    """share of the critics that their targets take over per update; .005 in SAC as published"""
    n_step: int = 1
    """rewards before the bootstrap"""
    particles: int = 1
    """actions M that the policy draws per next state, for the backup"""
    backup: str = "hard"
    """value of a next state: hard (best of M), mean, or soft"""
    reward_scale: float = 1.0
    """factor of rewards in the critics' targets, besides their normalisation"""
    normalise_rewards: bool = True
    """rewards over max(std G, max |G|/return_bound) of the discounted return G so far"""
    return_bound: float = 5.0
    """largest normalised return; 0: rewards are over std G alone"""


@dataclass(frozen=True)
class UpdateOptions:
    """Updates, for the policy and the critics alike."""

    batch_size: int = 256
    """transitions per update"""
    buffer_size: int = 1_000_000
    """transitions kept"""
    updates_per_step: float = 1.0
    """updates per environment step"""
    chunk: int = 16
    """environment steps between two calls of the compiled update"""
    anneal: float = 0.0
    """share of the run, at its end, over which both learning rates fall linearly to 0"""
    clip_norm: float = 0.0
    """largest norm of a gradient; 0 is none"""
    normalise: bool = True
    """observations in running means and standard deviations"""


@dataclass(frozen=True)
class ExplorationOptions:
    """How the environment is explored."""

    warmup: int = 1_000
    """steps of uniform actions before learning"""
    acting_particles: int = 0
    """actions the policy proposes when it acts; one is drawn in proportion to exp(Q/tau). 0 means
    8, or 1 where the policy is that of offline data (cloning, weighted)"""


@dataclass(frozen=True)
class DataOptions:
    """Offline data."""

    data: str = ""
    """offline data: a Minari dataset (its folder, or its name) or a file of D4RL's layout"""
    offline_steps: int = 0
    """steps of learning from the data alone, before those in the environment; they are counted with
    them, and --steps is 0 where it is not given"""
    data_share: float = 0.5
    """share of the data in a batch, once there are steps of the environment as well"""


@dataclass(frozen=True)
class EnvironmentOptions:
    """How environments are stepped."""

    action_repeat: int = 1
    """frames that an action is repeated for, their rewards summed; where it is not 1, steps,
    warmup, eval_every and log_every count frames, and all else these decisions"""
    env_workers: int = 0
    """processes that step the environments of a run; 0: this one"""
    env_timeout: float = 60.0
    """seconds that an environment may take for a step; 0 is no limit"""
    drop_nan: bool = False
    """drop and count episodes in which the environment gives what is not finite, instead of ending
    the run"""


@dataclass(frozen=True)
class EvaluationOptions:
    """Evaluations."""

    eval_particles: int = 0
    """actions it proposes in evaluations, of which the best by Q is taken; 0 means as many as by
    default when it acts"""
    eval_episodes: int = 10
    """episodes per evaluation"""
    eval_envs: int = 0
    """environments opened for evaluations, which share the episodes. 0 means one per episode.
    1 opens none: the training environments evaluate, one episode after another"""
    eval_max_steps: int = 0
    """steps after which an episode of an evaluation is cut; 0: 10,000"""


@dataclass(frozen=True)
class LoggingOptions:
    """What is kept and logged."""

    keep: int = 2
    """checkpoints kept, besides the best"""
    log_every: int = 1_000
    """steps between records of the losses"""
