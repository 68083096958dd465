"""A table on disk answers as a dictionary would."""

import numpy as np

from sdtool.io.uid_table import WIDEST, UidTable


def test_it_answers_as_a_dictionary(tmp_path):
    rng = np.random.default_rng(0)
    known = {rng.bytes(16).hex()[: rng.integers(1, 33)]: f"glbs/{n}.glb" for n in range(5000)}
    known |= {"ünïcode": "päth", "half an emoji \ud83d": "\ud83d", "": "empty", "no text": ""}
    table = UidTable.build([dict(list(known.items())[n::3]) for n in range(3)], tmp_path / "t")
    asked = [*known, "unknown", "f" * 500, "0"]
    assert table.find(asked) == [known.get(uid) for uid in asked]
    assert table.count == len(known)


def test_the_last_of_repeated_uids_holds(tmp_path):
    table = UidTable.build([{"a": "1", "b": "2"}, {"a": "3"}], tmp_path / "t")
    assert table.find(["a", "b"]) == ["3", "2"]


def test_an_empty_table_knows_nothing(tmp_path):
    for parts in ([], [{}]):
        table = UidTable.build(parts, tmp_path / "t")
        assert table.find(["a"]) == [None] and table.find([]) == []


def test_absurdly_long_entries_are_left_out(tmp_path):
    long = "x" * (WIDEST + 1)
    table = UidTable.build([{"a": long, long: "b", "c": "d"}], tmp_path / "t")
    assert table.find(["a", long, "c"]) == [None, None, "d"]
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 1000
