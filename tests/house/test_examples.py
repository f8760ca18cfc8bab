"""The examples of docs/sweeps.md: read, and run as far as this machine can."""

import os
import subprocess
from pathlib import Path

import pytest

from steinflow.sweep.plan import read

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SHARED = "/shared"


def test_the_sweep_is_one_of_twelve_cells():
    assert len(read(EXAMPLES / "sweep.toml")) == 12


def test_the_slurm_script_takes_its_share():
    given = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "10", "STEINFLOW": "echo"}
    done = subprocess.run(
        ["bash", EXAMPLES / "slurm-array.sh"],
        env=os.environ | given,
        capture_output=True,
        text=True,
    )
    expected = "sweep examples/sweep.toml --out runs/sweep --executor process --retries 1"
    assert done.stdout.strip() == f"{expected} --shard 3/10" and not done.stderr


@pytest.mark.ray
def test_the_cluster_files_name_what_they_mount():
    yaml = pytest.importorskip("yaml")
    cluster = yaml.safe_load((EXAMPLES / "ray-cluster.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert any(SHARED in line for line in cluster["setup_commands"])
    job = yaml.safe_load((EXAMPLES / "kuberay-job.yaml").read_text())["spec"]
    assert "--executor ray" in job["entrypoint"] and f"--out {SHARED}" in job["entrypoint"]
    assert yaml.safe_load(job["runtimeEnvYAML"]) == {"env_vars": {"RAY_ADDRESS": "auto"}}
    groups = [job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        mounts = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}
