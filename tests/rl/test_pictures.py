"""Kind: what an environment's render gives."""

import numpy as np
import pytest

from steinflow.cli import main
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.frames import even, film, frame_from
from steinflow.rl.play import frames_a_second, play
from steinflow.rl.training import train
from tests.rl.strange import SMALL, Giving, Plain

pytestmark = pytest.mark.usefixtures("untyped")

GREY = np.arange(64 * 64).reshape(64, 64) % 256
RIGHT = np.repeat(GREY[..., None], 3, axis=-1)


# row 12


@pytest.mark.parametrize(
    "picture",
    [
        RIGHT / 255.0, GREY / 255.0, GREY, GREY[..., None].astype(np.uint8), RIGHT.tolist(),
        np.float32(RIGHT), np.uint16(RIGHT * 257), np.dstack([RIGHT, 9 * np.ones((64, 64))]),
    ],
    ids=["floats", "grey floats", "grey", "grey of one channel", "lists", "floats to 255",
         "16 bits", "with opacity"],
)  # fmt: skip
def test_pictures_of_any_kind_are_made_alike(picture):
    """Further: lists, one channel, 16 bits, floats to 255, and opacity."""
    result = frame_from(picture)
    assert result.dtype == np.uint8 and np.array_equal(result, RIGHT)


def test_truth_values_and_nan_are_drawn():
    """Further."""
    assert frame_from(np.eye(4, dtype=bool)).max() == 255
    assert frame_from(np.array([[np.nan, 1.0]])).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (None, "NoneType"), ("ansi", "str"), (np.zeros((3, 64, 64)), r"shape \[3, 64, 64\]"),
        ([np.zeros((4, 4, 3))], r"shape \[1, 4, 4, 3\]"), (np.zeros((0, 5, 3)), "empty"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_a_sentence(picture, said):
    """Further: channels first, a list of pictures, nothing."""
    with pytest.raises(RunError, match=f"render gave .*{said}"):
        frame_from(picture)


def test_films_have_even_sides_and_one_size(tmp_path):
    """Further: odd sides, a single row, and a size that changes."""
    assert even(np.ones((5, 7, 3), np.uint8), 6, 8).min() == 1
    assert even(np.ones((50, 70, 3), np.uint8), 6, 8).shape == (6, 8, 3)
    with film(tmp_path / "a.mp4", 10) as growing:
        for side in (31, 31, 64):
            growing.add(np.full((side, side, 3), 99, np.uint8))
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    assert next(reader)["size"] == (32, 32)
    assert len(list(reader)) == 3


def test_frames_a_second_are_a_number():
    """Further: none, zero, half and words."""

    class Env:
        metadata = None

    for fps, right in [(None, 30), (0, 30), (0.5, 1), ("x", 30), (1e9, 240), (20, 20)]:
        Env.metadata = {"render_fps": fps}
        assert frames_a_second(Env()) == right


def test_an_environment_without_render_is_told_to_define_it(tmp_path, capsys):
    """Further: by play and by the doctor in the same words, and not that a library is missing."""
    run = train(TrainConfig(**SMALL), Giving, tmp_path / "run", env_kwargs={"what": "no render"})
    with pytest.raises(RunError, match=r"it has no render\(\)\. To be drawn") as error:
        play(run, tmp_path)
    assert "libegl" not in str(error.value)
    name, what = "tests.rl.strange:Giving", "what=no render"
    assert main(["doctor", name, "--env-kwargs", what]) == 0
    output = capsys.readouterr().out
    assert "its render() returns a picture" in output and output.count("does not draw itself") == 1
    assert f"Next: steinflow train {name} --env-kwargs '{what}'" in output
    plain = train(TrainConfig(**SMALL), Plain, tmp_path / "plain")
    with pytest.raises(RunError, match=r"Plain takes no render_mode\. To be drawn") as error:
        play(plain, tmp_path)
    assert "env-kwargs" not in str(error.value) and "libegl" not in str(error.value)


def test_a_film_of_floats_is_not_black(tmp_path):
    run = train(TrainConfig(**SMALL), Giving, tmp_path / "run")
    bright = np.full((32, 32), 0.8)
    run.env_kwargs = {"what": "picture", "value": bright, "length": 4}
    movie, gif, total = play(run, tmp_path)
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(movie))
    next(reader)
    frames = [np.frombuffer(frame, np.uint8) for frame in reader]
    assert len(frames) == 5 and all(abs(int(frame.mean()) - 204) < 8 for frame in frames)
    assert gif.read_bytes()[:4] == b"GIF8" and np.isfinite(total)
