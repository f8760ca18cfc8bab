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

from steinflow.executors.devices import count_for

HELPER = Path(__file__).parent / "on_devices.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What one device gives, and what four give."""
    found = {}
    for count in (1, 4):
        found[count] = tmp_path_factory.mktemp("devices") / str(count)
        forced = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"
        command = [sys.executable, HELPER, found[count]]
        subprocess.run(command, check=True, env=os.environ | {"XLA_FLAGS": forced})
    return found


def test_the_rows_of_a_study_are_those_of_one_device_bit_for_bit(folders):
    one, four = (pl.read_parquet(folders[count] / "rows.parquet") for count in (1, 4))
    assert one.height > 500
    assert_frame_equal(one, four, check_exact=True)


def test_four_seeds_on_four_devices_learn_what_they_learn_on_one(folders):
    one, four = (np.load(folders[count] / "agents.npz") for count in (1, 4))
    assert (int(one["devices"]), int(four["devices"])) == (1, 4)
    for name in set(one) - {"devices"}:
        assert np.allclose(one[name], four[name], atol=1e-4), name
    assert np.std(one["action"], axis=0).min() > 0.0  # the seeds differ


def test_shares_are_equal(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    assert [count_for(size) for size in (1, 3, 4, 5, 6, 8)] == [1, 3, 4, 1, 3, 4]
    assert [count_for(size, 2) for size in (1, 2, 6, 8, 64)] == [1, 1, 3, 4, 4]
