"""The optional folder of real objects that some tests look at."""

import os
from pathlib import Path

BESIDE = Path(__file__).parents[2] / "shared" / "assets"
ASSETS = Path(os.environ.get("SDTOOL_TEST_ASSETS", BESIDE))
EXAMPLE = ASSETS / "objaverse" / "annotation-example.json"
