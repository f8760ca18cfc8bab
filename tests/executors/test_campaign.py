"""Campaigns: what workers share, and what a rerun does not do again."""

import subprocess
from collections import deque
from types import SimpleNamespace

import pytest

from steinflow.executors import campaign
from steinflow.executors.base import Options, Versioned
from steinflow.executors.campaign import Engine
from steinflow.executors.compile_groups import place_of
from steinflow.executors.state import contents
from steinflow.executors.store import every
from steinflow.executors.worker import Worker
from steinflow.io.files import StudyError
from tests.executors.toys import Toy, compiled, square

SERIAL = Engine("serial")


@pytest.mark.slow
def test_compilations_are_shared_and_damaged_ones_made_anew(tmp_path, monkeypatch):
    """Two workers compile and write the same at once."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

    def run(prefix):
        cells = [Toy(f"{prefix}{k}", k) for k in range(4)]
        campaign.run(compiled, cells, tmp_path, Engine(options=Options(workers=2)), quiet=True)
        return list(contents(tmp_path, cells).values())

    first = run("a")
    entries = [path for path in (tmp_path / "compiled").iterdir() if path.is_file()]
    assert len(first) == 4 and entries
    for path in entries:
        path.write_bytes(path.read_bytes()[:20])
    assert run("b") == first


def test_a_rerun_starts_nothing(tmp_path, monkeypatch):
    cells = [Toy(f"cell-{k}", k) for k in range(3)]
    campaign.run(squared, cells, tmp_path, SERIAL, quiet=True)
    result = contents(tmp_path, cells)
    assert [int(content) for content in result.values()] == [0, 1, 4]

    def refused(*_):
        raise AssertionError

    monkeypatch.setattr("steinflow.executors.process.Worker", refused)
    assert set(campaign.run(squared, cells, tmp_path, quiet=True).done) == {c.name for c in cells}


def test_a_study_says_which_cell_failed(tmp_path):
    cells = [Toy("good", 2), Toy("bad", does="raise")]
    with pytest.raises(StudyError, match=r"1 cells failed.*bad: ArithmeticError: no square today"):
        campaign.study(squared, cells, tmp_path, SERIAL, True)
    result = campaign.study(squared, cells[:1], tmp_path, SERIAL, True)
    assert result == {cells[0]: b"4"}


@pytest.fixture
def disk(tmp_path):
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.mount
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_full_disk_and_then_a_read_only_one_lose_nothing(disk, executor, monkeypatch):
    """It is full for the workers; that it is read-only is seen before there are any."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(disk.parent))
    cells = [Toy(f"cell-{k}", k) for k in range(20)]
    engine = Engine(executor, Options(workers=2))

    def run(*mount):
        if mount:
            subprocess.run(["mount", "-o", f"remount,{','.join(mount)}", disk], check=True)
        return campaign.run(large, cells, disk / "out", engine, quiet=True)

    with pytest.raises(StudyError, match=r"No space left.*kept.*run the same command again"):
        run()
    kept = contents(disk / "out", cells)
    assert 0 < len(kept) < len(cells)
    with pytest.raises(StudyError, match=r"Read-only file system.*choose another"):
        run("size=4m", "ro")
    assert contents(disk / "out", cells) == kept
    assert len(run("rw").done) == len(cells)
    assert contents(disk / "out", cells) == {cell: large(cell) for cell in cells}
    assert len(list(every(disk / "out" / "cells"))) == len(cells)  # none was computed twice


def large(cell):
    """20 kB."""
    return bytes([cell.number]) * 20_000


def squared(cell):
    """The square as bytes."""
    return str(square(cell)).encode()


class Idle(Worker):
    """A worker without a process."""

    def __init__(self):
        self.compile_group = None


def test_workers_prefer_cells_that_share_compilations():
    def queue(kinds):
        return deque((SimpleNamespace(compile_group=compile_group), 1) for compile_group in kinds)

    waiting = queue("aabbcc")
    first, second = Idle(), Idle()
    assert place_of(first, [first, second], waiting) == 0
    first.compile_group = "a"
    assert place_of(second, [first, second], waiting) == 2  # another kind than the first's
    second.compile_group = "c"
    assert place_of(second, [first, second], waiting) == 4
    assert place_of(second, [first, second], queue("aa")) == 0  # nothing else is left: help
    assert place_of(first, [first, second], deque([(Toy("plain"), 1)] * 2)) == 0
    assert Versioned(SimpleNamespace(compile_group="a", name="cell"), "1").compile_group == "a"
    assert Versioned(Toy("plain"), "1").compile_group is None
