"""Many devices in one process: the numbers of one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from steinflow.executors.devices import devices

HELPER = Path(__file__).parent / "on_devices.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What one device gives, and what four give."""
    result = {}
    for count in (1, 4):
        result[count] = tmp_path_factory.mktemp("devices") / str(count)
        forced = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"
        command = [sys.executable, HELPER, result[count]]
        subprocess.run(command, check=True, env=os.environ | {"XLA_FLAGS": forced})
    return result


@pytest.mark.slow
def test_the_rows_of_a_study_are_those_of_one_device_bit_for_bit(folders):
    one, four = (pl.read_parquet(folders[count] / "rows.parquet") for count in (1, 4))
    assert one.height > 200
    assert_frame_equal(one, four, check_exact=True)
    shares = [np.loadtxt(folders[count] / "shares.txt").tolist() for count in (1, 4)]
    assert shares == [18, [4, 4, 4, 6]]


@pytest.mark.slow
def test_four_seeds_on_four_devices_learn_what_they_learn_on_one(folders):
    one, four = (np.load(folders[count] / "agents.npz") for count in (1, 4))
    assert (int(one["used"]), int(four["used"])) == (1, 4)
    for name in set(one) - {"used"}:
        assert np.allclose(one[name], four[name], atol=1e-4), name
    assert np.std(one["action"], axis=0).min() > 0.0  # the seeds differ


def test_one_device_is_used_where_it_was_chosen():
    with jax.default_device(jax.devices()[0]):
        assert devices() == []
    assert devices() == jax.local_devices()
