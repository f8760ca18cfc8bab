"""Temperatures: fixed, relative to the spread of Q, steered by ESS."""

import jax.numpy as jnp
import pytest

from steinflow.rl.temperature import ByEss, Fixed, Relative, initial_temperature, with_spread


def test_temperatures():
    state, scale = with_spread(initial_temperature(), jnp.asarray(4.0)), jnp.asarray(10.0)
    assert float(Fixed(0.3).tau(state, scale)) == pytest.approx(0.03)  # it is in units of return
    assert float(Relative(0.05).tau(state, scale)) == pytest.approx(0.2)
    assert float(with_spread(state, jnp.asarray(8.0)).spread) == pytest.approx(4.04)
    rule, none = ByEss(0.5), jnp.zeros(())
    hotter, colder = (rule.steer(state, jnp.asarray(ess), none) for ess in (0.1, 0.9))
    taus = [float(rule.tau(one, scale)) for one in (hotter, state, colder)]
    assert taus[0] > taus[1] > taus[2]
