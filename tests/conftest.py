"""Shared set-up: float64, and a sentence for every test that cannot run here."""

import os
import shutil
import time
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# Compiled once for all tests, their subprocesses and the next run; `make clean` removes it.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / "build" / "compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # the smallest too
# A test compiles for longer than it computes: quick compilations, a sixth of the time. XLA ends
# the process where it does not know a flag, as jaxlib from 0.11 on does not know the second.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false" * version("jaxlib").startswith("0.10."),
)

import jax
import pytest

jax.config.update("jax_enable_x64", True)


def can_mount() -> bool:
    """Whether a small tmpfs can be mounted: root, outside a locked-down container."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None


def memory_groups() -> tuple[Path, str] | None:
    """Where control groups are, and the file of one that limits its memory; None if not ours."""
    root = Path("/sys/fs/cgroup")
    for folder, limit in ((root / "memory", "memory.limit_in_bytes"), (root, "memory.max")):
        group = folder / f"steinflow-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                return folder, limit
        finally:
            group.rmdir()
    return None


NEEDS = {
    "browser": (lambda: shutil.which("chromium") is not None, "needs Debian's chromium"),
    "ray": (lambda: find_spec("ray") is not None, "needs the extra ray"),
    "mount": (can_mount, "needs root, to mount a small tmpfs"),
    "memory": (lambda: memory_groups() is not None, "needs control groups that limit memory"),
}


def pytest_collection_modifyitems(config, items):
    """Skip what this machine cannot run, by name; with STEINFLOW_ALL=1 that is an error."""
    strict = os.environ.get("STEINFLOW_ALL") == "1"
    for marker, (available, reason) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not available():
            if strict:
                raise pytest.UsageError(f"{len(marked)} tests cannot run here: {reason}.")
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
    for item in items:
        if item.get_closest_marker("soak") and "soak" not in (config.option.markexpr or ""):
            item.add_marker(pytest.mark.skip(reason="soak: hours, run by make soak"))


@pytest.fixture
def starving():
    """A control group whose processes are killed beyond 300 MB."""
    folder, limit = memory_groups()
    group = folder / f"steinflow-{os.getpid()}"
    group.mkdir()
    (group / limit).write_text("300000000")
    for swap, most in (("memory.memsw.limit_in_bytes", "300000000"), ("memory.swap.max", "0")):
        if (group / swap).exists():
            (group / swap).write_text(most)
    yield group
    for _ in range(100):  # until the killed ones are gone
        with suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{group} still has processes")


@pytest.fixture
def key():
    """A fixed key."""
    return jax.random.key(20261123)


@pytest.fixture
def untyped(monkeypatch):
    """Switch off the run-time shape checks, as users have it, to see our own messages."""
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


MANY_MAPPINGS = 20_000  # Linux lets a process have 65,530; a large compiled function takes hundreds


@pytest.fixture(autouse=True, scope="module")
def room_to_compile():
    """Forget compiled functions before there are too many: XLA crashes without a word then."""
    yield
    try:
        with Path("/proc/self/maps").open() as file:
            mappings = sum(1 for _ in file)
    except OSError:  # not Linux
        return
    if mappings > MANY_MAPPINGS:
        jax.clear_caches()
