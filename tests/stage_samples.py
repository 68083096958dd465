"""What the tests of stages' folders share: the files in one, and a stage that is begun."""

from sdtool.io.lock import LOCK
from sdtool.io.stage_record import begin


def names(folder):
    """The files below a folder, but for the lock of a stage that is open."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != LOCK)
    return sorted(p.relative_to(folder).as_posix() for p in found)


def run_stage(out, *, params=None, inputs=None, overwrite=False, stage="demo", **more):
    """Begin a stage with one parameter, unless told otherwise."""
    params = {"seed": 0} if params is None else params
    return begin(out, stage, params=params, inputs=inputs, overwrite=overwrite, **more)
