"""Two million steps of a toy environment: memory, compilations and checkpoints stay as they were.

    python benchmarks/long_run.py [--steps 2000000]

64-wide networks, replay of 50,000, an update every four steps. Memory (resident) after 100,000
steps and at the end must be within 5 %; nothing is compiled later; a checkpoint takes as long
(processor seconds of its thread, so that other work on the machine does not count; medians of
every tenth of the run).
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from jax import monitoring
from provenance import stamp

from steinflow.io.files import write_json
from steinflow.io.progress import COMPILED
from steinflow.rl import training
from steinflow.rl.config import TrainConfig

RESULTS = Path(__file__).parent / "results" / "long-run.json"
FIRST = 100_000


def resident() -> float:
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Compilations:
    """All that are made, the shortest too."""

    count = 0

    def listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        self.count += event == COMPILED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000_000)
    given = parser.parse_args()
    each = given.steps // 100
    config = TrainConfig(
        steps=given.steps, hidden=(64, 64), buffer_size=50_000, updates_per_step=0.25,
        batch_size=64, actor_batch=32, eval_every=each, eval_episodes=2, log_every=each, keep=2,
    )  # fmt: skip
    entries: list[tuple[int, float, int]] = []
    spent: list[float] = []
    save = training.Session.save

    def timed(session: training.Session, environments: bool = True) -> None:
        began = time.thread_time()
        save(session, environments)
        spent.append(time.thread_time() - began)
        entries.append((session.trainer.step, resident(), compilations.count))
        if len(spent) == 5:
            expected = session.trainer.elapsed * given.steps / session.trainer.step
            print(f"about {expected / 60:.0f} minutes in all", flush=True)

    training.Session.save = timed  # type: ignore[method-assign]
    began, compilations = time.monotonic(), Compilations()
    monitoring.register_event_duration_secs_listener(compilations.listen)
    with tempfile.TemporaryDirectory() as name:
        training.train(config, "tests.rl.toys:Point", Path(name) / "run", quiet=True)
    early = next(entry for entry in entries if entry[0] >= min(FIRST, given.steps // 10))
    each_tenth = [float(np.median(part)) for part in np.array_split(spent, 10)]
    first, last = each_tenth[1], each_tenth[-1]
    growth = entries[-1][1] / early[1] - 1.0
    more = entries[-1][2] - early[2]
    hours = (time.monotonic() - began) / 3600
    print(f"{given.steps:,} steps in {hours:.2f} hours: {early[1]:.0f} MB at step {early[0]:,}, "
          f"{entries[-1][1]:.0f} at the end ({100 * growth:+.1f} %), {more} compilations more, "
          f"a checkpoint {1e3 * first:.0f} ms early, {1e3 * last:.0f} ms late")  # fmt: skip
    if given.steps >= 2_000_000:
        write_json(RESULTS, {
            "steps": given.steps, "hours": round(hours, 2), "mb_early": early[1],
            "mb_end": entries[-1][1], "more_compilations": more,
            "checkpoint_seconds": [round(s, 4) for s in each_tenth], "jax": jax.__version__,
        })  # fmt: skip
        stamp(RESULTS)
    return int(abs(growth) > 0.05 or more > 0 or last > 1.5 * first)


if __name__ == "__main__":
    raise SystemExit(main())
