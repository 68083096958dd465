"""Shell completion: stages, options and choices, without importing more than it needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdtool.cli import STAGES
from sdtool.lifting.initial import STARTS
from sdtool.lifting.presets import PRESETS
from sdtool.toyverse.catalogue import CATEGORIES

pytestmark = pytest.mark.slow

SDTOOL = Path(sys.executable).parent / "sdtool"


def ask(shell, line):
    """The finished `sdtool` that completes the end of a command line for a shell."""
    asked = {"_SDTOOL_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    finished = subprocess.run(
        [SDTOOL], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    assert finished.stderr == "" and finished.returncode == 0
    return finished.stdout


def words(shell, line):
    """The completions alone, without their explanations."""
    said = ask(shell, line)
    if shell == "zsh":
        said = said.removeprefix("_arguments '*: :((").rstrip().removesuffix("))'")
    lines = [one for one in said.splitlines() if one]
    return [one.split("\t")[0].split('":"')[0].strip('"') for one in lines]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_stages_options_and_choices(shell):
    assert words(shell, "sdtool ") == list(STAGES)
    assert words(shell, "sdtool fi") == ["filter-objaverse", "finetune-agp", "finetune-color"]
    assert words(shell, "sdtool render-ccm --vi") == ["--views"]
    assert {"--config", "--print-config", "--json"} <= set(words(shell, "sdtool caption --"))
    assert words(shell, "sdtool lift --rep ") == ["dmtet", "nerf", "gaussians"]
    assert words(shell, "sdtool lift --config absent.toml --rep n") == ["nerf"]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("sdtool lift --preset ", list(PRESETS["dmtet"])),
        ("sdtool lift --init ", list(STARTS)),
        ("sdtool lift --device c", ["cpu", "cuda"]),
        ("sdtool caption --method ", ["offline", "model"]),
        ("sdtool toyverse --categories ", list(CATEGORIES)),
        ("sdtool toyverse --categories cat,corg", ["cat,corgi"]),
        ("sdtool finetune-agp --optimizer a", ["adamw", "adafactor"]),
        ("sdtool doctor gpu tiny", ["tinycudann"]),
        ("sdtool lift dog", []),  # nothing is known: the shell offers files
        ("sdtool nonsense --op", []),
    ],
)
def test_choices(line, expected):
    assert words("bash", line) == expected


def bash(script, **env):
    """The finished bash that ran a script, with this interpreter's `sdtool` in its PATH."""
    env = {"PATH": f"{SDTOOL.parent}{os.pathsep}{os.environ['PATH']}"} | env
    command = ["bash", "-c", script]
    return subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, timeout=600
    )


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_it_works_in_bash_once_installed(tmp_path):
    made = bash("sdtool --install-completion; echo $?", HOME=str(tmp_path))
    assert made.stdout.endswith("0\n") and made.stderr == ""
    shown = bash("sdtool --show-completion; true")
    assert "complete_bash" in shown.stdout and shown.stderr == ""
    assert (
        shown.stdout.strip() == (tmp_path / ".bash_completions" / "sdtool.sh").read_text().strip()
    )
    run = bash(f"""source {tmp_path}/.bashrc
        COMP_WORDS=(sdtool lift --pre) COMP_CWORD=2
        _sdtool_completion sdtool
        echo "${{COMPREPLY[@]}}" """)
    assert (run.stdout, run.stderr) == ("--preset --precision\n", "")


@pytest.mark.parametrize(
    "line, stages",
    [("sdtool l", []), ("sdtool lift --", ["lift"]), ("sdtool lift --rep ", ["lift"])],
)
def test_completing_imports_no_other_stage_and_no_torch(line, stages):
    code = """
import sys
from sdtool.cli import run
try:
    run([])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    asked = {"_SDTOOL_COMPLETE": "complete_bash", "COMP_WORDS": line}
    asked |= {"COMP_CWORD": str(len(line.split(" ")) - 1)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True
    )
    assert run.returncode == 0 and run.stdout.strip()
    names = set(run.stderr.split())
    assert not names & {"torch", "numba", "diffusers", "transformers", "PIL"}
    loaded = [n.removeprefix("sdtool.stages.") for n in names if n.startswith("sdtool.stages.")]
    assert loaded == stages
