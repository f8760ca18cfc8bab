"""The agent computes in float32."""

import jax
import pytest


@pytest.fixture(autouse=True)
def single_precision():
    with jax.enable_x64(False):
        yield
