"""Temperatures: fixed, relative to the spread of Q, steered by ESS."""

import jax.numpy as jnp
import pytest

from steinflow.rl.temperature import ByEss, Fixed, Relative, cold_start, warmed


def test_temperatures():
    heat, scale = warmed(cold_start(), jnp.asarray(4.0)), jnp.asarray(10.0)
    assert float(Fixed(0.3).tau(heat, scale)) == pytest.approx(0.03)  # it is in units of return
    assert float(Relative(0.05).tau(heat, scale)) == pytest.approx(0.2)
    assert float(warmed(heat, jnp.asarray(8.0)).spread) == pytest.approx(4.04)
    rule, none = ByEss(0.5), jnp.zeros(())
    hotter, colder = (rule.steer(heat, jnp.asarray(ess), none) for ess in (0.1, 0.9))
    taus = [float(rule.tau(one, scale)) for one in (hotter, heat, colder)]
    assert taus[0] > taus[1] > taus[2]
