"""Files of a run's options."""

import pytest

from steinflow.rl.config import TrainConfig
from steinflow.rl.files import read_config, toml_of, typed, write_config


def test_options_come_back_from_their_file(tmp_path):
    config = TrainConfig(hidden=(8,), actor_hidden=(4, 4), gamma=0.5, normalise=True)
    write_config(tmp_path / "config.toml", config, "A-v0", {"x": 1, 'q"': [True]})
    assert read_config(tmp_path / "config.toml") == (config, "A-v0", {"x": 1, 'q"': [True]})
    assert toml_of({"a": (1, 2)}) == "a = [1, 2]\n"
    with pytest.raises(ValueError, match="Did you mean 'gamma'"):
        typed({"gama": 1.0})
    with pytest.raises(ValueError, match="must be a float"):
        typed({"gamma": "x"})
