"""How far judges agree, and whether two methods differ: kappas and McNemar's exact test."""

import math
from collections.abc import Sequence


def cohen_kappa(table: Sequence[Sequence[int]]) -> float:
    """Cohen (1960): κ = (p_o − p_e)/(1 − p_e) of two judges.

    table: K rows of K counts; row i, column j: what the first called i and the second j. p_o is the
    share of the diagonal, p_e = Σ_k row_k·column_k / n² what chance would give two judges with these
    shares. In [−1, 1]; NaN where p_e = 1 or nothing is judged.
    """
    total = sum(map(sum, table))
    if not total:
        return math.nan
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    seen = sum(table[k][k] for k in range(len(rows))) / total
    chance = sum(r * c for r, c in zip(rows, columns, strict=True)) / total**2
    return (seen - chance) / (1 - chance) if chance < 1 else math.nan


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float:
    """Fleiss (1971): κ = (P̄ − P̄_e)/(1 − P̄_e) of m ≥ 2 judges, of each thing as many.

    counts: N rows of K counts; row i, column j: how many judges called thing i a j. P_i = Σ_j n_ij
    (n_ij − 1) / (m(m − 1)) is the share of agreeing pairs of judges, P̄ its mean, and P̄_e = Σ_j p_j² with
    p_j the share of all answers that are j. NaN where P̄_e = 1 or nothing is judged; ValueError if not
    each thing has as many judges, two at least.
    """
    if not counts:
        return math.nan
    judges = sum(counts[0])
    if judges < 2 or any(sum(row) != judges for row in counts):
        raise ValueError("Fleiss' kappa needs two judges or more, of each thing as many")
    pairs = sum(n * (n - 1) for row in counts for n in row) / (judges * (judges - 1))
    shares = [sum(column) / (judges * len(counts)) for column in zip(*counts, strict=True)]
    chance = sum(share * share for share in shares)
    return (pairs / len(counts) - chance) / (1 - chance) if chance < 1 else math.nan


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test (1947, with the binomial distribution): how probable a difference at least
    as large is, both ways, if two methods are equally good.

    only_first, only_second: of the pairs on one prompt, those where the one alone has the flaw, or the
    other; pairs on which they agree say nothing. p = min(1, 2 Σ_{i ≤ min(b, c)} C(b + c, i) / 2^(b + c)).
    """
    apart = only_first + only_second
    tail = sum(math.comb(apart, i) for i in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**apart))
