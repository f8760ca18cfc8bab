"""Published agents by their settings (docs/agent.md says where they deviate)."""

from typing import Any

COMMON = {
    "num_levels": 1, "temperature_mode": "fixed", "critic_norm": False, "actor_batch": 256,
    "polyak": 0.005, "normalise": False, "critic": "mse", "normalise_rewards": False,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    # Reverse Flow Matching (Li, Tang & Azizan, 2026)
    "rfm": COMMON
    | {
        "estimator": "rfm", "num_draws": 100, "temperature": 0.02, "particles": 32,
        "acting_particles": 32, "eval_particles": 32, "actor_points": "policy", "flow_steps": 10,
        "backup": "soft", "policy_delay": 1, "warmup": 10_000, "buffer_size": 250_000,
        "clip_norm": 10.0, "critic_lr": 1e-3, "actor_lr": 3e-4, "actor_hidden": (256, 256, 256),
    },
    # Soft Diffusion Actor-Critic (Ma et al., 2025); its temperature after the annealing, 0.2 of
    # scaled rewards, in units of return
    "sdac": COMMON
    | {
        "estimator": "sdac", "policy": "diffusion", "num_draws": 64, "temperature": 1.0,
        "particles": 32, "acting_particles": 32, "eval_particles": 32, "actor_points": "policy",
        "flow_steps": 20, "sampler": "ddpm", "hidden": (256, 256, 256), "reward_scale": 0.2,
        "num_envs": 5, "updates_per_step": 0.2, "policy_delay": 2, "warmup": 30_000,
        "critic_lr": 3e-4, "actor_lr": 3e-4,
    },
    # MaxEntDP (Dong et al., 2025); its temperature is set by hand for each environment
    "qne": COMMON
    | {
        "estimator": "qne", "policy": "diffusion", "num_draws": 500, "temperature": 0.1,
        "particles": 1, "acting_particles": 1, "eval_particles": 10, "actor_points": "replay",
        "flow_steps": 20, "sampler": "ddpm", "backup": "mean", "policy_delay": 1, "warmup": 10_000,
        "critic_lr": 3e-4, "actor_lr": 3e-4,
    },
    # Diffusion-QL (Wang, Hunt & Zhou, 2023) with its usual settings of D4RL's MuJoCo tasks; eta and
    # the clip are set by hand for each task
    "diffusion-ql": COMMON
    | {
        "policy": "diffusion", "objective": "diffusion-ql", "q_weight": 1.0, "sampler": "ddpm",
        "flow_steps": 5, "particles": 1, "acting_particles": 50, "eval_particles": 50,
        "temperature": 1.0, "policy_delay": 1, "hidden": (256, 256, 256), "critic_lr": 3e-4,
        "actor_lr": 3e-4, "clip_norm": 9.0,
    },
}  # fmt: skip
