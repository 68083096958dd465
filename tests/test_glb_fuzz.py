"""Thousands of broken files: no crash, no hang, no memory beyond a limit, and always an answer.

The mutants are read in a child process, so that a decoder which brings its process down is a test
failure that names the seed. A longer campaign: `python tests/glb_mutants.py 1000000 100000 status`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MUTANTS = Path(__file__).parent / "glb_mutants.py"
FIRST, COUNT = 0, 2500


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the child process met; fails with the seed that killed it."""
    status = tmp_path_factory.mktemp("fuzz") / "seed"
    command = [sys.executable, MUTANTS, str(FIRST), str(COUNT), status]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = run.communicate(timeout=3600)
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        pytest.fail(f"the child hung at seed {status.read_text(encoding='ascii')}")
    if run.returncode != 0:
        seed = status.read_text(encoding="ascii").strip()
        pytest.fail(f"the child ended with {run.returncode} at seed {seed}:\n{errors[-3000:]}")
    assert errors == ""  # no warnings either: a run over many objects prints one bar
    return json.loads(out)


def test_every_mutant_is_a_mesh_or_has_a_documented_reason(report):
    outcomes = report["outcomes"]
    assert sum(outcomes.values()) == COUNT
    assert outcomes["ok"] > COUNT / 10  # the mutations are not all blunt
    expected = {"corrupt-file", "bad-index", "external-buffer", "node-cycle", "non-finite"}
    expected |= {"no-triangles", "too-large", "unsupported-extension", "unsupported-version"}
    assert expected <= set(outcomes), outcomes


def test_no_mutant_takes_as_long_as_all_others_together(report):
    seconds, seed = report["slowest"]
    assert seconds < report["seconds"] / 2, f"seed {seed} took {seconds:.1f} s of processor time"


def test_no_mutant_takes_much_memory(report):
    assert report["grown"] < 256 << 20
