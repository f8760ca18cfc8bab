"""The Ray executor on a cluster of two nodes, both on this machine."""

import os
import random
import signal

import pytest

from steinflow.executors.base import Done, Options
from steinflow.executors.ray import Ray
from steinflow.executors.store import read
from tests.executors.driver import NAMES
from tests.executors.test_executors import CELLS, EXPECTED, faulty, judge, outcomes, values
from tests.executors.test_kills import EXPECTED as KEPT
from tests.executors.test_kills import eventually, is_alive, workers
from tests.executors.toys import Toy, cores, kept

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def nodes():
    """A cluster that the executor finds connected; gives the cluster and its second node."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            second = cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, log_to_driver=False)
            yield cluster, second
            assert ray.is_initialized()  # the executor did not start it, and did not stop it
        finally:
            ray.shutdown()
            cluster.shutdown()


def test_ray_agrees_and_survives_what_fails(nodes, tmp_path):
    assert values(outcomes(Ray(), CELLS)) == EXPECTED
    assert values(outcomes(Ray(), CELLS[:1], cores)) == {"cell-0": 1}
    judge(outcomes(Ray(Options(retries=1)), faulty(tmp_path)))
    late = outcomes(Ray(Options(time_limit=1.0)), [Toy("hangs", does="hang"), *CELLS[:2]])
    assert "over its 1 s" in late["hangs"].why and late["cell-1"].value == 1


def test_a_killed_worker_and_a_killed_node_lose_nothing(nodes, tmp_path):
    cluster, second = nodes
    cells = [Toy(name, k, folder=str(tmp_path)) for k, name in enumerate(NAMES)]
    rng, found, lost = random.Random(0), {}, []
    for cell, outcome in Ray(Options(retries=5)).run(kept, cells):
        assert cell.name not in found
        found[cell.name] = outcome
        if len(found) == 8 and (there := workers(tmp_path)):
            lost.append(rng.choice(there))
            os.kill(lost[0], signal.SIGKILL)
        if len(found) == 16:
            cluster.remove_node(second, allow_graceful=False)
    assert set(found) == set(NAMES) and all(isinstance(o, Done) for o in found.values())
    assert read(tmp_path / "cells") == KEPT and lost
    eventually(lambda: len(workers(tmp_path)) <= 1)  # those of the lost node have ended
    assert not is_alive(lost[0])
