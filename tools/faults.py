"""Two hundred random faults, chained on shared runs of study, train, sweep and export.

    make faults        # or: python -m tools.faults --count 20 --seed 1

Every chain is one folder on a disk of its own (a small tmpfs; needs root). A fault is a signal at a
random moment, a disk with almost no room, or a file of the folder cut short or with one bit
turned; then the same command goes on. After each one: what was finished is still there, all that
is read is what an undisturbed run gives, and damage is told in a sentence. A chain that comes to
its end is compared with the undisturbed one, and begins anew.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from benchmarks.provenance import stamp
from steinflow.executors import store
from steinflow.executors.state import SECONDS
from steinflow.io.files import unlike_manifest, unpacked, write_json
from steinflow.rl import checkpoint, metrics
from steinflow.rl.checkpoint import RunError

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
POINT = (
    "tests.rl.toys:Point --estimator noise --warmup 100 --hidden 8 8 --batch-size 16 "
    "--num-levels 2 --num-draws 2 --flow-steps 2 --eval-every 400 --log-every 200 "
    "--eval-episodes 2"
)
SWEEP = """command = "train"
seeds = 4
[fixed]
env = "tests.rl.toys:Point"
steps = 800
estimator = "noise"
warmup = 100
hidden = [8, 8]
batch_size = 16
num_levels = 2
num_draws = 2
flow_steps = 2
eval_every = 400
eval_episodes = 2
"""
STUDY = "study --preset quick --trials 8 --query-points 8 --taus 0.1 1.0 --num-draws 8 16"
LAST = 2400
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
Finished = dict[str, str]  # what is finished, and what it holds


class Work(NamedTuple):
    """A command that is disturbed."""

    name: str
    command: Callable[[Path], str]
    finished: Callable[[Path], Finished]
    is_complete: Callable[[Path], bool]
    files: dict[str, tuple[str, ...]]  # what may be damaged: kind -> patterns


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Of the contents, whatever file they are in."""
    return checkpoint.digest_of(arrays, "")


def parts(out: Path) -> Finished:
    """Finished cells of a study, in files of their own or in those of workers."""
    digests = {}
    for path in (out / "parts").glob("*.npz"):
        try:
            arrays = unpacked(path.read_bytes())
        except ValueError:
            continue
        del arrays["header"]
        digests[path.stem] = digest(arrays)
    for name, content in store.read(out / "cells").items():
        digests[name.rpartition("-")[0]] = digest(unpacked(content[SECONDS.size :]))
    return digests


def newest(out: Path) -> tuple[int, list[tuple[dict[str, np.ndarray], dict[str, Any]]]]:
    """The newest whole checkpoints of all seeds: step, and arrays and header of each."""
    try:
        return checkpoint.newest(sorted(out.glob("seed-*/checkpoints")), [])
    except (RunError, TypeError):
        return -1, []


def is_trained(out: Path) -> bool:
    """Whether a run has come to its end, with the last evaluation."""
    step, checkpoints = newest(out)
    return step == LAST and not any(header["owed"] for _, header in checkpoints)


def learned(out: Path) -> Finished:
    """Records of a training run up to its newest whole checkpoint, and that."""
    step, checkpoints = newest(out)
    result = {f"checkpoint {step} {k}": agent(arrays) for k, (arrays, _) in enumerate(checkpoints)}
    for record in metrics.read(out / "metrics.jsonl"):
        if record["step"] <= step:
            text = json.dumps({k: v for k, v in record.items() if not k.endswith("seconds")})
            if "actor_loss" in record:  # means since the last one, or since a signal was obeyed
                text = "means"
            name = f"{record['step']} {record['seed']} {sorted(record)}"
            assert name not in result or text == "means", f"{name} twice"
            result[name] = text
    return result


def agent(arrays: dict[str, np.ndarray]) -> str:
    """The networks of a checkpoint."""
    return digest({k: v for k, v in arrays.items() if k.startswith("agent")})


def swept(out: Path) -> Finished:
    """Finished cells of a sweep, and what they learned."""
    result = {}
    for name in store.read(out / "cells"):
        records = learned(out / "runs" / name)
        compared = {k: v for k, v in records.items() if v != "means"}  # a signal adds some
        result[name] = json.dumps(compared, sort_keys=True)
    return result


def exported(out: Path) -> Finished:
    """Files of an export that are what its sums say."""
    sums = out / "export" / "SHA256SUMS"
    lines = [line.split("  ") for line in sums.read_text().splitlines()] if sums.exists() else []
    result = {}
    for right, name in lines:
        path = out / "export" / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == right:
            result[name] = right
    return result


def works(sweep: Path) -> list[Work]:
    """All of them."""
    rows = ("rows.parquet", "claims.json")
    return [
        Work("study", lambda out: f"{STUDY} --out {out}", parts,
             lambda out: (out / "report.html").exists() and not unlike_manifest(out),
             {"rows": (*rows, "parts/*.npz")}),
        Work("study by processes", lambda out: f"{STUDY} --executor process --out {out}", parts,
             lambda out: (out / "report.html").exists() and not unlike_manifest(out),
             {"rows": (*rows, "cells/*.shard")}),
        Work("train", lambda out: f"train {POINT} --steps {LAST} --seeds 2 --resume --out {out}",
             learned, is_trained,
             {"checkpoint": ("seed-*/checkpoints/*.safetensors",), "metrics": ("metrics.jsonl",)}),
        Work("sweep", lambda out: f"sweep {sweep} --workers 2 --retry-failed --out {out}", swept,
             lambda out: len(swept(out)) == 4 and (out / "cells.csv").exists(),
             {"rows": ("cells/*.shard",)}),
        Work("export", lambda out: f"export {out} --out {out}/export", exported,
             lambda out: len(exported(out)) == 4, {"checkpoint": ("export/policy.*",)}),
    ]  # fmt: skip


def start(command: str) -> subprocess.Popen[str]:
    """The command as people give it, in a group of its own."""
    flags = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / "build" / "compiled"),
             "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "steinflow", *command.split()], cwd=ROOT, env=os.environ | flags,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A disk of its own."""
    folder.mkdir()
    resize(folder, 256 << 20, "")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def resize(folder: Path, size: int, how: str = "remount,") -> None:
    """Make a disk, or give it another size."""
    options = ["-o", f"{how}size={size}"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=True)


def last_length(path: Path) -> range:
    """Where the last record of a worker's file has its length."""
    if path.suffix != ".shard":
        return range(0)
    ends = [len(store.HEADER), *(end for _, _, end in store.records(path, tell=False))]
    return range(ends[-2], ends[-2] + 8) if len(ends) > 1 else range(0)


class Chain:
    """One folder, and all that happens to it."""

    def __init__(self, work: Work, folder: Path, seed: int, run: Path) -> None:
        self.work, self.folder, self.run = work, folder, run
        self.rng, self.counts, self.out = random.Random(seed), Counter[str](), folder / "0"
        began = time.monotonic()
        self.anew(0)
        self.complete()  # compiles
        began = time.monotonic()
        self.anew(1)
        self.complete()
        self.full, self.right = time.monotonic() - began, work.finished(self.out)
        self.anew(2)

    def anew(self, number: int) -> None:
        """Another folder; an export begins with a trained run."""
        subprocess.run(["rm", "-rf", self.out], check=True)
        self.out = self.folder / str(number)
        if self.work.name == "export":
            subprocess.run(["cp", "-r", self.run, self.out], check=True)

    def complete(self) -> str:
        """Run the command to its end."""
        process = start(self.work.command(self.out))
        output = process.communicate(timeout=600)[1]
        assert process.returncode == 0 and self.work.is_complete(self.out), output
        assert "Traceback" not in output, output
        return output

    def now(self) -> Finished:
        """What is finished; all that is read is right."""
        with warnings.catch_warnings(action="ignore"):
            finished = self.work.finished(self.out)
        if hasattr(self, "right") and self.work.name != "export":
            odd = {k: v for k, v in finished.items() if self.right.get(k, v) != v}
            assert not odd, f"not what an undisturbed run gives: {list(odd)}"
        return finished

    def missing(self) -> set[str]:
        """What an undisturbed run gives, and is not there."""
        return set(self.right) - set(self.now())  # which has seen that what is there is right

    def disturb(self) -> None:
        """One fault, and the check."""
        faults = [*SIGNALS, "no room", *(f"{k}: {how}" for k in self.work.files
                                         for how in ("cut", "bit"))]  # fmt: skip
        fault = self.rng.choice(faults)
        self.before = set(self.now())
        if fault in SIGNALS:
            self.signalled(SIGNALS[fault])
        elif fault == "no room":
            self.crowded()
        else:
            self.damaged(fault)
        self.counts[fault] += 1

    def signalled(self, what: signal.Signals) -> None:
        """A signal at any moment, to the process alone."""
        process = start(self.work.command(self.out))
        time.sleep(self.rng.uniform(0.0, self.full))
        early = process.poll() is None
        if early:
            process.send_signal(what)
        output = process.communicate(timeout=120)[1]
        self.heard(output)
        assert early or process.returncode == 0, output

    def crowded(self) -> None:
        """A disk that has room for little more than there is."""
        used = sum(p.stat().st_blocks * 512 for p in self.folder.rglob("*") if p.is_file())
        resize(self.folder, used + (self.rng.choice((8, 64, 512)) << 10))
        process = start(self.work.command(self.out))
        output = process.communicate(timeout=600)[1]
        resize(self.folder, 256 << 20)
        self.heard(output)
        assert process.returncode in (0, 1, 2), output  # 1: a cell of a sweep failed
        assert process.returncode == 0 or "free some space" in output.lower(), output

    def damaged(self, fault: str) -> None:
        """Damage a file, and let the command go on to its end; without a file, after its end."""
        kind, how = fault.split(": ")
        existing = self.of(kind)
        if not existing:
            self.complete()
        path = self.rng.choice(existing or self.of(kind))
        before, disorder = self.now(), self.out_of_order()
        data = bytearray(path.read_bytes())
        at, lengths = self.rng.randrange(len(data)), last_length(path)
        if how == "cut":
            del data[at:]
        else:
            data[at] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data)
        after = self.now()
        noticed = after != before or self.out_of_order() != disorder
        self.counts["seen"] += noticed
        process = start(self.work.command(self.out))
        output = process.communicate(timeout=600)[1]
        if process.returncode == 2 and "Train from the start" in output:
            self.counts["refused"] += 1
            self.anew(3)
            return
        if process.returncode == 2 and "later steinflow" in output:
            path.unlink()  # as it says
            self.counts["refused"] += 1
        assert process.returncode in (0, 2), output
        output += self.complete()
        words = ("damaged", "not a whole", "made again", "was not what", "cut", "no whole")
        silent = how == "cut" and path.suffix in (".shard", ".jsonl")  # as when a process ends
        silent |= at in lengths  # that looks the same
        newest = path.suffix != ".safetensors" or self.work.name == "export"
        assert not noticed or silent or not newest or any(w in output for w in words), (
            path,
            output,
        )
        if self.work.name != "export":  # lines of metrics that were damaged are gone for good
            gone = set(before) - set(after) if kind == "metrics" else set[str]()
            missing = set(self.right) - set(self.now())
            assert missing <= gone, (path, missing, output)
        self.anew(3)

    def of(self, kind: str) -> list[Path]:
        """Files that may be damaged."""
        paths = (p for pattern in self.work.files[kind] for p in self.out.glob(pattern))
        return sorted(p for p in paths if p.stat().st_size)

    def out_of_order(self) -> list[str]:
        """Files unlike their manifest."""
        return unlike_manifest(self.out)

    def heard(self, output: str) -> None:
        """Nothing is lost, and no traceback; a chain that has come to its end is compared, and
        begins anew."""
        lost = self.before - set(self.now())
        lost = {name for name in lost if not name.startswith("checkpoint")}  # old ones go
        assert not lost, f"{lost} was finished"
        early = output.strip().endswith("KeyboardInterrupt")  # before there was anything to keep
        assert "Traceback" not in output or early, output
        if self.work.is_complete(self.out):
            assert self.work.name == "export" or not self.missing(), (self.missing(), output)
            self.counts["came to the end"] += 1
            self.anew(3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="chains whose name holds this")
    given = parser.parse_args()
    began, one_at_a_time = time.monotonic(), Lock()
    with tempfile.TemporaryDirectory() as name, disk(Path(name) / "disk") as run_disk:
        sweep, run = Path(name) / "sweep.toml", run_disk / "run"
        sweep.write_text(SWEEP)
        train = start(f"train {POINT} --steps 800 --out {run}")
        assert train.wait(600) == 0

        def of(number: int, work: Work) -> Counter[str]:
            with disk(Path(name) / str(number)) as folder:
                chain = Chain(work, folder, given.seed + number, run)
                each = given.count // 5
                print(f"{work.name}: {chain.full:.0f} s undisturbed", flush=True)
                for k in range(each):
                    chain.disturb()
                    if k % 10 == 9:
                        print(f"{work.name}: {k + 1} of {each}", flush=True)
                if not work.is_complete(chain.out):
                    chain.complete()
                assert work.name == "export" or not chain.missing(), chain.missing()
                counts = ", ".join(f"{what} {n}" for what, n in sorted(chain.counts.items()))
                print(f"{work.name}: {counts}; nothing that was finished was lost", flush=True)
                if given.count >= 200:
                    with one_at_a_time:
                        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
                        results[work.name] = {"seed": given.seed, "faults": dict(chain.counts)}
                        write_json(RESULTS, results)
                        stamp(RESULTS)
                return chain.counts

        some = [(k, work) for k, work in enumerate(works(sweep)) if given.only in work.name]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(of, *zip(*some, strict=True)))
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
