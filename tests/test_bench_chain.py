"""`python -m sdtool.bench chain`: what is foretold of a whole collection from parts of it."""

import pytest

from sdtool.bench.chain import Cost, _row, foretold


def test_a_line_through_two_parts_foretells_the_whole():
    assert foretold([100, 200, 800], [7.0, 9.0, 0.0]) == pytest.approx((21.0, 0.02))
    row = _row(
        [100, 200, 800], [Cost(7, 5, 2_000_000), Cost(9, 6, 3_000_000), Cost(21, 12, 9_000_000)]
    )
    assert row == ["800", "21.0", "21.0", "1.00", "20.0 ms", "9.0", "9.0", "1.00", "12"]
