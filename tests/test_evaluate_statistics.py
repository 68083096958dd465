"""evaluate: kappas and McNemar's test by published examples and closed forms."""

import math

import pytest

from sdtool.evaluating.statistics import cohen_kappa, fleiss_kappa, mcnemar


def test_cohens_kappa_of_sums_by_hand():
    # 35 of 50 agree; by chance 25/50·30/50 + 25/50·20/50 = 0.5
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    # with equal agreement, chance makes the difference: 60 of 100; 0.6·0.7 + 0.4·0.3 and 0.6·0.3 + 0.4·0.7
    assert cohen_kappa([[45, 15], [25, 15]]) == pytest.approx((0.6 - 0.54) / (1 - 0.54))
    assert cohen_kappa([[25, 35], [5, 35]]) == pytest.approx((0.6 - 0.46) / (1 - 0.46))
    # three answers: 21 of 30 agree; by chance (10·10 + 10·10 + 10·10)/900 = 1/3
    assert cohen_kappa([[6, 3, 1], [2, 7, 1], [2, 0, 8]]) == pytest.approx((21 / 30 - 1 / 3) * 1.5)


def test_cohens_kappa_at_its_ends():
    assert cohen_kappa([[7, 0], [0, 5]]) == 1 and cohen_kappa([[0, 6], [6, 0]]) == -1
    assert cohen_kappa([[4, 4], [4, 4]]) == 0  # independent
    assert math.isnan(cohen_kappa([[9, 0], [0, 0]]))  # nothing but yes
    assert math.isnan(cohen_kappa([[0, 0], [0, 0]]))


def test_fleiss_kappa_of_a_published_example():
    """Ten things, five answers, fourteen judges: a worked example that is widely printed; κ = 0.210."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(counts) == pytest.approx(0.2099, abs=1e-4)


def test_fleiss_kappa_at_its_ends():
    assert fleiss_kappa([[3, 0], [0, 3], [3, 0]]) == pytest.approx(1)
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]])) and math.isnan(fleiss_kappa([]))
    # of two judges it is Scott's pi: 35 of 50 agree; 45 of 100 answers are no: 0.55² + 0.45² by chance
    two = [[2, 0]] * 20 + [[1, 1]] * 15 + [[0, 2]] * 15
    assert fleiss_kappa(two) == pytest.approx((0.7 - 0.505) / (1 - 0.505))
    # half of all pairs of three judges' votes: 1/3 of the pairs agree on 2:1, by chance 1/2
    assert fleiss_kappa([[2, 1], [1, 2]]) == pytest.approx((1 / 3 - 1 / 2) / (1 / 2))
    for wrong in ([[2, 0], [3, 0]], [[1, 0]]):
        with pytest.raises(ValueError, match="as many"):
            fleiss_kappa(wrong)


def test_mcnemars_exact_test():
    assert mcnemar(0, 0) == mcnemar(4, 4) == mcnemar(4, 5) == 1
    assert mcnemar(0, 5) == mcnemar(5, 0) == 2 / 32
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar(10, 30) == pytest.approx(0.00222, abs=1e-5)


def test_mcnemar_is_the_binomial_test():
    from scipy.stats import binomtest

    for b, c in ((2, 9), (0, 1), (13, 40), (60, 4)):
        assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c).pvalue)
