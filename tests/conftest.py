"""What holds in every test, and what tests of several files are given."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def short_turns():
    """Turntables of four pictures: 36 take longer than all else of a small lift. `test_lift.py` has 36."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdtool.lifting.pictures.FRAMES", 4)
        yield


@pytest.fixture(scope="module")
def few_toys():
    """`sdtool evaluate` holds a model against two shapes of its kind, not 24. No verdict hangs on them."""
    from sdtool.evaluating import measuring

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "TOYS", 2)
        measuring._toys.cache_clear()
        yield
    measuring._toys.cache_clear()


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """The working directory is an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """A folder of views of flat shapes, with captions."""
    from prior_samples import write_views

    return write_views(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def captions(views):
    """What the objects of `views` are called."""
    from sdtool.io.captions import read_captions

    return read_captions(views)
