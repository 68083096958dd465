"""The Khronos glTF validator, for tests: an npm package run by node, where both are at hand."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def validator_reports(*files):
    """The validator's report on each GLB file (numErrors, numWarnings, messages), or a skip."""
    local = HERE.parent / "node_modules" / "gltf-validator"
    package = os.environ.get("SDTOOL_GLTF_VALIDATOR", str(local))
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not Path(package).is_dir():
        pytest.skip("no gltf-validator: `npm install gltf-validator`, or SDTOOL_GLTF_VALIDATOR")
    command = ["node", HERE / "gltf_validate.mjs", package, *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr
    reports = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(reports) == len(files)
    return reports
