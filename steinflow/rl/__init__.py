"""Online reinforcement learning with diffusion and flow policies; the estimator is one argument."""
