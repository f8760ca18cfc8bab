"""Lines of progress where there is no terminal."""

from types import SimpleNamespace

from steinflow.io import progress
from steinflow.io.progress import Progress


def test_the_time_left_leaves_compilation_out(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with Progress(12, 0, quiet=False) as work:
        for seconds in (100.0, 110.0, 120.0):  # a hundred seconds of compilation, then ten a cell
            now[0] = seconds
            work.advance("cell")
    first, second, third = capsys.readouterr().err.splitlines()[1:]
    assert "1/12 cells, time left not known yet" in first
    assert "about 100 s left" in second and "about 90 s left" in third
