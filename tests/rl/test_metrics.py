"""Lines of metrics.jsonl."""

import json
import warnings

import pytest

from steinflow.io.files import DamageWarning
from steinflow.rl.metrics import line_of, read


def test_lines_that_are_cut_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    record = {"step": 1, "seed": 0, "episode_return": -1.5e-7}
    path.write_text(line_of(record) + line_of(record)[:20])
    with warnings.catch_warnings(action="error"):
        assert read(path) == [record]  # cut as a process ended
    other = line_of(record | {"step": 2})
    lines = [line_of(record), other.replace("-1.5", "-1.6"), "[1]\n", json.dumps(record) + "\n"]
    path.write_text("".join(lines))
    with pytest.warns(DamageWarning, match="3 lines are damaged"):
        assert read(path) == [record]
