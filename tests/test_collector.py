"""The collector of circles rests where it finds none, and only there."""

import gc

import pytest

from sdtool import cli
from sdtool.runtime import collector


def test_it_is_paused_for_a_while():
    assert gc.isenabled()
    with collector.paused():
        assert not gc.isenabled()
        with collector.paused():
            pass
        assert not gc.isenabled()  # as the outer one wants it
    assert gc.isenabled()


def test_an_error_ends_the_pause():
    with pytest.raises(ImportError), collector.paused():
        raise ImportError
    assert gc.isenabled()


def test_what_is_there_is_not_searched_any_more():
    before = gc.get_freeze_count()
    try:
        collector.finish()
        assert gc.get_freeze_count() > before + 1000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("arguments", [["--version"], ["no-such-stage"]])
def test_a_command_ends_without_a_search(arguments, monkeypatch, capfd):
    order = []
    monkeypatch.setattr(collector, "finish", lambda: order.append("finish"))
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert order == ["finish"]
