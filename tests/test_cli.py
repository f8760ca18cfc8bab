"""The command line as a user meets it."""

from steinflow.cli import main


def test_the_command_line(capsys, tmp_path):
    assert main(["list"]) == 0 and "multimodal" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    for what in ("Python", "jax", "device", "GL", "ffmpeg", "ray", "Next:"):
        assert what in output
    assert main(["study", "--preset", "papr", "--out", str(tmp_path)]) == 2
    assert "Did you mean 'paper'?" in capsys.readouterr().err
