"""One function over many items: each comes back once, whatever happens to the others."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from killed import StandingClock

from sdtool.errors import InputError, MissingDependencyError, ObjectError, UsageError
from sdtool.runtime import engine_ray
from sdtool.runtime.engine import available_cores, map_items


def work(x):
    """What can happen to an item: 1 raises, 2 dies, 3 hangs, 4 is a bug, 5 eats memory."""
    if x == 1:
        raise ObjectError("odd", "1 is odd")
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 3:
        time.sleep(600)
    if x == 4:
        raise KeyError("4")
    if x == 5:
        return len(bytearray(8 << 30))
    return x * x


def whoami(_):
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def which_gpu(x):
    time.sleep(0.2)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def stop(x):
    raise InputError(f"{x} cannot be read by anyone")


def outcomes(items, **options):
    """{item: output, or the reason of its ObjectError}."""
    found = list(map_items(work, items, **options))
    assert len(found) == len(items)
    return {i: o.reason if isinstance(o, ObjectError) else o for i, o in found}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_comes_back_once(workers):
    items = range(10, 60)
    assert outcomes(items, workers=workers) == {x: x * x for x in items}
    assert outcomes([], workers=workers) == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_an_item_are_its_outcome(workers):
    assert outcomes([0, 1, 4, 6], workers=workers) == {0: 0, 1: "odd", 4: "internal-error", 6: 36}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_that_concern_all_items_end_the_run(workers):
    with pytest.raises(InputError, match="[78] cannot be read by anyone"):
        list(map_items(stop, [7, 8], workers=workers))


@pytest.mark.slow
def test_a_worker_that_dies_hangs_or_eats_memory_costs_its_item_only(monkeypatch):
    items, clock = [10, 2, 11, 3, 5, *range(12, 40)], StandingClock()
    monkeypatch.setattr("sdtool.runtime.engine.time", clock)
    found = {}
    for item, outcome in map_items(work, items, workers=2, timeout=0.5, memory=4 << 30):
        found[item] = outcome.reason if isinstance(outcome, ObjectError) else outcome
        if len(found) == len(items) - 1:  # all but the one that sleeps
            clock.now = 1.0
    assert found.pop(2) == "worker-died"
    assert found.pop(3) == "timeout"
    assert found.pop(5) == "too-large"
    assert found == {x: x * x for x in items if x >= 10}


def test_one_worker_is_this_process_and_more_are_others_with_one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert {pid for _, (pid, _) in map_items(whoami, [1, 2], workers=1)} == {os.getpid()}
    found = [outcome for _, outcome in map_items(whoami, range(12), workers=2, recycle=3)]
    pids = {pid for pid, _ in found}
    assert os.getpid() not in pids and {n for _, n in found} == {"1"}
    assert len(pids) >= 4  # recycled after three items each


def test_items_are_drawn_as_workers_become_free():
    drawn = []

    def items():
        for x in range(10, 1000):
            drawn.append(x)
            yield x

    found = map_items(work, items(), workers=2)
    next(found)
    assert len(drawn) <= 10
    found.close()


KILLED = """
import os, sys, time
sys.path.insert(0, {tests!r})
from test_engine import whoami
from sdtool.runtime.engine import map_items
if __name__ == "__main__":
    for _, (pid, _) in map_items(whoami, range(10**9), workers=2):
        print(pid, flush=True)
        time.sleep(0.01)
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(KILLED.format(tests=os.path.dirname(__file__)), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pids = {int(parent.stdout.readline()) for _ in range(60)}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert pids
    while any(map(alive, pids)):
        time.sleep(0.05)


def alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_each_worker_sees_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    found = [
        gpu for _, gpu in map_items(which_gpu, range(8), workers=5, gpus=("4", "7"), recycle=2)
    ]
    assert set(found) == {"4", "7"} and os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    assert {gpu for _, gpu in map_items(which_gpu, range(2), workers=2)} == {"4,7"}


def test_available_cores_follows_the_affinity():
    assert available_cores() == len(os.sched_getaffinity(0))


# Ray


@pytest.fixture
def ray(monkeypatch):
    """Ray's processes find this file's functions by name, as they do installed ones."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    return pytest.importorskip("ray", reason="ray is not installed")


@pytest.mark.slow
def test_ray_does_the_same(ray):
    items = [10, 1, 2, 4, *range(12, 20)]
    found = outcomes(items, workers=2, engine="ray")
    assert (found.pop(1), found.pop(2), found.pop(4)) == ("odd", "worker-died", "internal-error")
    assert found == {x: x * x for x in items if x >= 10}
    with pytest.raises(InputError, match="7 cannot be read by anyone"):
        list(map_items(stop, [7], engine="ray"))


def test_a_ray_that_is_slow_to_start_is_started_again(monkeypatch):
    ray, said = SimpleNamespace(shutdown=lambda: None), []

    def init(**_):
        said.append("init")
        if len(said) < 3:
            raise Exception("The current node timed out during startup.")

    ray.init = init
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    engine_ray._join(ray)
    assert len(said) == 3
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")
    said.clear()
    with pytest.raises(UsageError, match="nowhere:1.*timed out"):
        engine_ray._join(ray)
    assert len(said) == 1


@pytest.mark.slow
def test_ray_stops_what_hangs(ray, monkeypatch):
    clock, found = StandingClock(), {}
    monkeypatch.setattr("sdtool.runtime.engine_ray.time", clock)
    for item, outcome in map_items(work, [10, 3, 11], workers=2, engine="ray", timeout=1):
        found[item] = outcome.reason if isinstance(outcome, ObjectError) else outcome
        if len(found) == 2:  # all but the one that sleeps
            clock.now = 100.0
    assert found == {10: 100, 3: "timeout", 11: 121}


@pytest.mark.slow
def test_ray_gives_each_item_a_gpu(ray, monkeypatch):
    with pytest.raises(UsageError, match="Ray knows of no GPU; add --device cpu"):
        list(map_items(which_gpu, range(2), engine="ray", gpus=("0",)))
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="ERROR")
    try:  # Ray counts GPUs, and does not look whether there are any
        found = map_items(which_gpu, range(4), engine="ray", gpus=("0", "1"))
        assert {gpu for _, gpu in found} == {"0", "1"}
    finally:
        ray.shutdown()


def test_a_missing_ray_names_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'sdtool\[ray\]'"):
        list(map_items(work, [10], engine="ray"))
