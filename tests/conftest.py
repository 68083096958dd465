"""What holds in every test."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def short_turns():
    """Turntables of four pictures: 36 take longer than all else of a small lift. A whole one is in test_lift.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdtool.lifting.pictures.FRAMES", 4)
        yield
