"""Files of strangers: only sentences, in bounded memory and time. STEINFLOW_FUZZ=20000 a loader."""

import json
import os
import pickle
import random
import resource
import shutil
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from steinflow.executors import state, store
from steinflow.io.files import StudyError, load_part, save_part
from steinflow.io.words import options_of
from steinflow.rl import checkpoint
from steinflow.rl.checkpoint import RunError, digest_of
from steinflow.rl.config import TrainConfig
from steinflow.rl.files import read_config, write_config
from steinflow.rl.metrics import line_of
from steinflow.rl.run import Run
from steinflow.study.command import Study
from steinflow.sweep import plan
from tests.executors.toys import Toy

COUNT = int(os.environ.get("STEINFLOW_FUZZ", "200"))
TOKENS = [b"[" * 5000, b"{" * 5000, b"a." * 1900 + b"c = 1", b"a." * 9000 + b"c = 1",
          b"9" * 6000, b"1e999", b"-1", b"0",
          b"NaN", b"null", b"true", b'""', b"\x00", b"\xff\xfe", b"../../etc/passwd", b"[]", b"{}",
          b"99999999999", b"\n", b'"', b"=", b"seeds = 2000000000\n", b"[[vary]]\n"]  # fmt: skip
OURS = (RunError, StudyError, ValueError)

pytestmark = pytest.mark.usefixtures("untyped")  # as users have it


def mutated(rng, content):
    """Bits flipped, pieces cut out, doubled, moved or overwritten, a few times over."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 512))
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            data[at : at + size] = rng.choice(TOKENS)
        else:
            del data[at:]
    return bytes(data)


def fuzz(name, path, content, load, seal=lambda data: data):
    """Load mutants of a file; what is said is a sentence of ours."""
    rng, outcomes, slowest = random.Random(name), {"read": 0, "refused": 0}, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(COUNT):
        path.write_bytes(seal(mutated(rng, content) if k else content))
        began = time.monotonic()
        try:
            load()
            outcomes["read"] += 1
        except OURS as error:
            outcomes["refused"] += 1
            assert k, f"{name}: the file as it was is refused: {error}"
            assert type(error) in OURS and str(error).endswith((".", "!", "?")), repr(error)
        slowest = max(slowest, time.monotonic() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name}: {COUNT} files, {outcomes}, slowest {slowest:.3f} s, {grown:.0f} MB more")
    assert outcomes["read"] and outcomes["refused"] + outcomes["read"] == COUNT
    assert slowest < 5.0 and grown < 300.0
    return outcomes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder as training leaves it, as far as loading is concerned."""
    path = tmp_path_factory.mktemp("run")
    write_config(path / "config.toml", TrainConfig(hidden=(4,)), "Pendulum-v1", {"g": 9.8})
    spaces = {"obs": 3, "action": 1, "low": [-2.0], "high": [2.0]}
    (path / "manifest.json").write_text(json.dumps({"format_version": 1, "spaces": spaces}))
    folder = path / "seed-0" / "checkpoints"
    folder.mkdir(parents=True)
    arrays = {"agent.a": np.arange(6.0), "agent.b": np.zeros((2, 2), np.float32)}
    checkpoint.write(folder / "step-000000000010.safetensors", arrays, {"step": 10})
    records = [{"step": k, "seed": 0, "eval_return": -1.0 * k} for k in range(20)]
    (path / "metrics.jsonl").write_text("".join(map(line_of, records)))
    return path


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["config.toml", "manifest.json", "metrics.jsonl"])
def test_a_run(copy, name):
    fuzz(name, copy / name, (copy / name).read_bytes(), lambda: Run(copy).metrics())


def test_options_of_a_run(copy):
    path = copy / "config.toml"
    fuzz("options", path, path.read_bytes(), lambda: read_config(path))


def test_checkpoints(copy):
    [path] = (copy / "seed-0" / "checkpoints").iterdir()
    result = fuzz("checkpoint", path, path.read_bytes(), lambda: Run(copy).arrays(0, "best"))
    assert result["read"] < 0.1 * COUNT + 2  # a digest that does not fit is refused


def test_checkpoints_with_the_right_digest(tmp_path):
    """Whoever writes a file can write its digest."""
    path, arrays = tmp_path / "step-000000000010.safetensors", {"agent.a": np.arange(6.0)}

    def sealed(about):
        text = about.decode(errors="replace")
        version = str(checkpoint.FORMAT_VERSION)
        header = {"format_version": version, "sha256": digest_of(arrays, text), "about": text}
        return save(arrays, header)

    fuzz("header", path, b'{"step": 10, "best": 1.5}', lambda: checkpoint.read(path), sealed)


def test_parts_of_a_study(tmp_path):
    path = tmp_path / "part.npz"
    save_part(path, {"a": np.arange(60.0), "b": np.array(1.5)}, "print")
    fuzz("part", path, path.read_bytes(), lambda: load_part(path, "print") or refused())


def refused():
    raise StudyError("There is no such part.")


@pytest.mark.parametrize("folder", ["cells", "failures"])
@pytest.mark.parametrize("sealed", [False, True])
def test_records_of_cells(tmp_path, folder, sealed):
    cells = [Toy(f"cell-{k}", k) for k in range(3)]
    writer = store.Writer(tmp_path / folder)
    for cell in cells:
        failure = json.dumps({"at": 1.0, "why": "no", "tries": 1}).encode()
        seconds = state.SECONDS.pack(1.0)
        writer.append(cell.name, seconds + b"content" if folder == "cells" else failure)
    writer.close()
    [path] = (tmp_path / folder).iterdir()
    content = path.read_bytes()

    def seal(data):
        body = data[len(store.HEADER) + store.PREFIX.size :][:60]
        return store.HEADER + struct.pack("<QI", len(body), zlib.crc32(body)) + body

    def load():
        state.summary(cells, state.state(tmp_path, cells))
        state.contents(tmp_path, cells)

    fuzz(f"{folder}, sealed {sealed}", path, content, load, seal if sealed else bytes)


EVIL = "from pathlib import Path\nPath({mark!r}).touch()\n"


class Evil:
    """What pickle executes."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_loading_a_run_executes_nothing(copy, tmp_path, monkeypatch):
    """Neither the environment that it names, nor a pickle in its place."""
    mark = tmp_path / "executed"
    (tmp_path / "evil.py").write_text(EVIL.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    write_config(copy / "config.toml", TrainConfig(hidden=(4,)), "evil:Env", {})
    [path] = (copy / "seed-0" / "checkpoints").iterdir()
    run = Run(copy)
    assert run.env == "evil:Env" and run.arrays(0, "best") and run.metrics().height == 20
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(RunError, match="no whole checkpoint"):
        run.arrays(0, "best")
    np.savez(tmp_path / "part.npz", header=np.array([Evil(mark)], object))
    assert load_part(tmp_path / "part.npz", "print") is None
    np.save(tmp_path / "part.npy", np.array([Evil(mark)], object))
    (tmp_path / "part.npy").rename(tmp_path / "part.npz")
    assert load_part(tmp_path / "part.npz", "print") is None
    assert not mark.exists()
    with pytest.raises(ValueError, match="evil"):  # it is imported when it is asked for, and then
        run.factory()()  # has no Env
    assert mark.exists()  # so that this test can fail


def test_archives_that_grow(tmp_path):
    """A part that is small on disk and large in memory is not one of ours."""
    path = tmp_path / "part.npz"
    header = np.array(["1", "print"])
    np.savez_compressed(path, header=header, a=np.zeros(100_000_000, np.int8))
    assert path.stat().st_size < 200_000 and load_part(path, "print") is None


def test_a_sweep(tmp_path):
    path = tmp_path / "sweep.toml"
    text = (
        'command = "train"\nseeds = 3\n[fixed]\nenv = "Pendulum-v1"\nsteps = 8000\n'
        '[vary]\nestimator = ["noise", "auto"]\ntemperature = [0.05, 0.2]\n'
    )

    def load():
        for cell in plan.read(path):
            plan.words(cell, tmp_path)

    fuzz("sweep", path, text.encode(), load)


def test_options_of_a_study(tmp_path):
    path = tmp_path / "study.toml"
    text = 'preset = "quick"\ntrials = 8\ntaus = [0.1, 1.0]\nfamilies = ["quadratic"]\nseed = 3\n'
    fuzz("study", path, text.encode(), lambda: options_of(Study, path))
