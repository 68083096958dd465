"""What `evaluate` measures of a model, made up."""

import numpy as np

from sdtool.evaluating.measuring import Measured


def fake(good, seed):
    """Of a good or a bad one; only the agreement of its views tells which."""
    rng = np.random.default_rng(seed)
    return Measured(
        category="corgi",
        agreement=rng.uniform(0.8, 1) if good else rng.uniform(0, 0.2),
        sound=rng.random(),
        told=1.0,
        repetition=rng.uniform(0.3, 0.4),
        repeated=rng.random(),
        turn=0.0,
        kind="corgi",
        kind_share=1.0,
        rank=1,
        chamfer=rng.random(),
        f_score=rng.random(),
        sanity={},
        truth=[],
        predicted=[],
        sure=[],
    )
