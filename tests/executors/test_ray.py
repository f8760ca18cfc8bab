"""The Ray executor on a cluster of two nodes, both on this machine."""

import random

import pytest

from steinflow.executors.base import Options
from steinflow.executors.ray import Ray
from tests.executors.test_executors import (
    CELLS,
    EXPECTED,
    faulty,
    judge,
    judge_starved,
    outcomes,
    values,
)
from tests.executors.test_kills import KILLS, round_of
from tests.executors.toys import Toy, cores

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Nodes:
    """A cluster of a head and a second node, which can be lost and replaced."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.second = cluster.add_node(num_cpus=1)

    def lose_one(self):
        """kill -9 of the second node; another takes its place."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=1)


@pytest.fixture(scope="module")
def nodes():
    """A cluster of our own, to which this process is connected."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            result = Nodes(cluster)
            ray.init(address=cluster.address, log_to_driver=False)
            patch.setenv("RAY_ADDRESS", cluster.address)  # for drivers in other processes
            yield result
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


@pytest.mark.memory
def test_a_cell_that_runs_out_of_memory_harms_no_other(nodes, starving):
    judge_starved(Ray(Options(retries=1)), starving)


def test_kills_of_workers_nodes_and_drivers_lose_nothing(nodes, tmp_path):
    """STEINFLOW_KILLS=30 for thirty."""
    rng = random.Random(0)
    for k in range(KILLS or 3):
        what = ("node", "worker", "driver")[k % 3]
        round_of(tmp_path / str(k), "ray", what, rng, nodes.lose_one)
