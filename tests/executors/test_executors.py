"""Every executor gives the same; what fails costs its own cell only."""

import os
import time
from pathlib import Path

import jax
import pytest

from steinflow.executors.base import CellError, Done, Failed, Options, headline
from steinflow.executors.cores import cores_here, slots
from steinflow.executors.process import Processes
from steinflow.executors.serial import Serial
from steinflow.executors.shards import shard_of, share
from steinflow.executors.worker import spare_maps
from steinflow.io.files import StudyError
from tests.executors.toys import Toy, Unloadable, cores, square

CELLS = [Toy(f"cell-{k}", k) for k in range(20)]
EXPECTED = {cell.name: cell.number**2 for cell in CELLS}


def outcomes(executor, cells, function=square):
    result = list(executor.run(function, cells))
    assert sorted(cell.name for cell, _ in result) == sorted(cell.name for cell in cells)
    return {cell.name: outcome for cell, outcome in result}


def values(result):
    return {name: outcome.value for name, outcome in result.items()}


def test_serial_processes_and_shards_agree():
    assert values(outcomes(Serial(), CELLS)) == EXPECTED
    assert values(outcomes(Processes(Options(workers=2)), CELLS)) == EXPECTED
    parts = [values(outcomes(Serial(), share(CELLS, (k, 3)))) for k in range(3)]
    assert {k: v for part in parts for k, v in part.items()} == EXPECTED
    assert sum(len(part) for part in parts) == len(CELLS) and all(parts)


def test_a_cell_is_on_one_core_and_the_driver_as_before():
    before, flags = cores_here(), os.environ.get("XLA_FLAGS")
    for executor in (Serial(), Processes(Options(workers=1))):
        assert values(outcomes(executor, CELLS[:1], cores)) == {"cell-0": 1}
        assert cores_here() == before and os.environ.get("XLA_FLAGS") == flags
    assert len(slots(5, 1)) == 5 and len(slots(None, len(before))) == 1
    with pytest.raises(ValueError, match="Give fewer"):
        slots(None, len(before) + 1)


def faulty(tmp_path):
    return [
        Toy("raises", does="raise"),
        Toy("dies", does="kill"),
        Toy("dies once", 3, "kill once", str(tmp_path)),
        *CELLS[:6],
    ]


def judge(result):
    assert {k: result[k].value for k in EXPECTED if k in result} == {
        k: v for k, v in EXPECTED.items() if k in result
    }
    assert isinstance(result["raises"], Failed) and result["raises"].tries == 2
    assert headline(result["raises"].why) == "ArithmeticError: no square today"
    assert "Traceback" in result["raises"].why and result["raises"].kind == "ArithmeticError"
    assert isinstance(result["dies"], Failed) and result["dies"].tries == 2
    assert "killed" in result["dies"].why and "out of memory" in result["dies"].why
    assert isinstance(result["dies once"], Done) and result["dies once"].tries == 2


@pytest.mark.slow
def test_what_raises_hangs_or_dies_harms_no_other(tmp_path):
    executor = Processes(Options(workers=2, retries=1, time_limit=1.5))
    began = time.monotonic()
    result = outcomes(executor, [Toy("hangs", does="hang"), *faulty(tmp_path)])
    judge(result)
    assert result["hangs"] == Failed(
        "over the time limit of 1.5 s", "TimeLimit", 2, result["hangs"].seconds
    )
    assert 1.5 <= result["hangs"].seconds < time.monotonic() - began


@pytest.mark.memory
def test_a_cell_that_runs_out_of_memory_harms_no_other(starving):
    judge_starved(Processes(Options(workers=2, retries=1)), starving)


def judge_starved(executor, group):
    """The kernel kills it, twice."""
    cells = [Toy("starved", does="memory", folder=str(group)), *CELLS[:6]]
    result = outcomes(executor, cells)
    starved = result.pop("starved")
    assert isinstance(starved, Failed) and starved.tries == 2 and "out of memory" in starved.why
    assert values(result) == {cell.name: cell.number**2 for cell in CELLS[:6]}
    events = [group / name for name in ("memory.oom_control", "memory.events")]
    [counts] = [path.read_text().split() for path in events if path.exists()]
    assert int(counts[counts.index("oom_kill") + 1]) == 2


@pytest.mark.slow
def test_workers_that_cannot_start_end_in_a_sentence():
    with pytest.raises(StudyError, match=r"3 times before it could start \(exit code 3\)"):
        list(Processes(Options(workers=1)).run(Unloadable(), CELLS))


def test_serial_reports_and_retries():
    result = outcomes(Serial(Options(retries=2)), [Toy("raises", does="raise"), *CELLS[:2]])
    assert result["raises"].tries == 3 and result["cell-1"] == Done(1, 1, result["cell-1"].seconds)


def test_bad_options_are_sentences():
    with pytest.raises(ValueError, match="workers must be"):
        Options(workers=0)
    with pytest.raises(ValueError, match="time limit must be positive"):
        Options(time_limit=0.0)
    with pytest.raises(ValueError, match="gpus must not be negative"):
        Options(gpus=-1.0)
    for executor in (Serial, Processes):
        with pytest.raises(ValueError, match="Choose --executor ray"):
            executor(Options(gpus=0.5))
    with pytest.raises(ValueError, match="Choose process"):
        Serial(Options(time_limit=1.0))
    with pytest.raises(ValueError, match="Give a function of a module"):
        list(Processes().run(lambda cell: cell, CELLS))
    for text in ("3/3", "1", "a/b", "-1/2", "1/0"):
        with pytest.raises(ValueError, match="Count i from 0"):
            shard_of(text)
    assert shard_of("2/3") == (2, 3)


def test_the_headline_of_a_failure():
    assert headline("a sentence\nand more") == "a sentence"
    assert headline("") == "no reason was given"
    assert headline(str(CellError("one"))) == "one"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="maps are listed by Linux alone")
def test_a_worker_forgets_its_programs_before_they_hold_too_many_memory_maps():
    traced = []

    @jax.jit
    def twice(x):
        traced.append(x)
        return 2.0 * x

    twice(1.0)
    spare_maps()
    twice(1.0)
    assert len(traced) == 1
    spare_maps(most=10)
    assert twice(1.0) == 2.0 and len(traced) == 2
