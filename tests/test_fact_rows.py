"""The facts of a training as rows of a model card."""

from sdtool.priors.fact_rows import fact_rows


def test_facts_are_said_in_words_not_as_python_prints_them():
    camera = {"fov": 45.0, "elevation": [-30.0, 70.0], "model": None}
    facts = {
        "half_resolution": 0.4,
        "fp16": True,
        "camera": camera,
        "data": ["a1", "b2", "c3"],
        "cut": "a|b",
    }
    assert fact_rows(facts).splitlines() == [
        "| half resolution | 0.4 |",
        "| fp16 | yes |",
        "| camera | fov 45.0; elevation -30.0 to 70.0; model – |",
        "| data | a1, b2, c3 |",
        "| cut | a\\|b |",
    ]
    assert fact_rows({}) == ""
