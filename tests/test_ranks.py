"""Many machines, one result: who writes where, and reading all of them as one."""

import json

import pytest
from glb_samples import corner

from sdtool.cli import run
from sdtool.errors import InputError, UsageError
from sdtool.io.rank_folders import stage_folders
from sdtool.io.stage_record import begin
from sdtool.runtime.ranks import Ranks


def finish(out, ranks, **params):
    record = begin(ranks.folder(out), "x", params={**params, **ranks.params()})
    record.finish(counts={"ok": 1}, outputs=[])


def test_every_piece_belongs_to_one_rank():
    owners = [[r for r in range(3) if Ranks(r, 3).owns(k)] for k in range(7)]
    assert owners == [[0], [1], [2], [0], [1], [2], [0]]


def test_a_single_rank_writes_to_the_folder_itself(tmp_path):
    assert Ranks().folder(tmp_path) == tmp_path and Ranks().params() == {}
    assert Ranks(3, 64).folder(tmp_path) == tmp_path / "rank-00003"


@pytest.mark.parametrize(("rank", "size"), [(4, 4), (1, 1), (-1, 2)])
def test_a_rank_beyond_the_world_is_wrong_usage(rank, size):
    with pytest.raises(UsageError, match=f"--rank {rank} of --world-size {size}"):
        Ranks(rank, size)


def test_finished_ranks_are_read_in_order(tmp_path):
    assert stage_folders(tmp_path) == [tmp_path]
    for rank in (2, 0, 1):
        finish(tmp_path, Ranks(rank, 3), seed=5)
    assert [f.name for f in stage_folders(tmp_path)] == ["rank-00000", "rank-00001", "rank-00002"]


def test_a_missing_rank_is_named(tmp_path):
    for rank in (0, 2):
        finish(tmp_path, Ranks(rank, 4))
    with pytest.raises(InputError, match="lacks rank 1, 3 of 4"):
        stage_folders(tmp_path)


def test_an_unfinished_rank_is_named(tmp_path):
    finish(tmp_path, Ranks(0, 2))
    begin(Ranks(1, 2).folder(tmp_path), "x", params=Ranks(1, 2).params())
    with pytest.raises(InputError, match="rank-00001 is not finished"):
        stage_folders(tmp_path)


def test_ranks_that_differ_are_named(tmp_path):
    finish(tmp_path, Ranks(0, 2), seed=5)
    finish(tmp_path, Ranks(1, 2), seed=6)
    said = r"rank-00001 and .*rank-00000 were made differently \(seed: 6 and 5\); make them alike"
    with pytest.raises(InputError, match=said):
        stage_folders(tmp_path)


def test_of_many_ranks_those_that_differ_from_most_are_named(tmp_path):
    for rank in range(4):
        finish(tmp_path, Ranks(rank, 4), seed=6 if rank else 5)
    said = r"rank-00000 and .*rank-00001 were .*seed: 5 and 6.* of rank-00000 again with --over"
    with pytest.raises(InputError, match=said):
        stage_folders(tmp_path)


@pytest.mark.parametrize("stage", ["orient", "caption", "render-ccm"])
def test_ranks_that_saw_other_trees_are_told_by_how_many_objects(
    in_a_folder, tmp_path, capsys, stage
):
    (tmp_path / "table.json").write_text('{"red-chair": 90}')
    small = ["--views", "1", "--size", "8", "--shard-size", "1"] if stage == "render-ccm" else []
    by_table = ["--by", "table", "--table", "table.json"] if stage == "orient" else []
    options = ["--out", "out", "--workers", "1", "--world-size", "3", *small, *by_table]
    names = ["red-chair", "blue-mug", "old-lamp"]
    for rank in range(3):
        folder = tmp_path / f"machine-{rank}"
        folder.mkdir()
        for name in names if rank != 1 else [*names, "green-cup"]:
            corner().save(folder / f"{name}.glb")
        assert run([stage, folder.name, *options, "--rank", str(rank)]) == 0
    with pytest.raises(InputError) as refused:
        stage_folders("out")
    assert str(refused.value) == (
        "out/rank-00001 and out/rank-00000 were made differently (their input differs: objects, of "
        "which they saw 4 and 3, 1 apart); make them alike: run the commands of rank-00001 again "
        "with --overwrite"
    )
    yaws = ["render-ccm", "machine-0", "--yaw-fix", "out", "--out", "ccm"]
    if stage == "orient":
        assert run(yaws) == 1 and str(refused.value) in capsys.readouterr().err


def test_of_two_ranks_that_saw_other_trees_either_may_be_wrong(in_a_folder, tmp_path):
    for rank in range(2):
        folder = tmp_path / f"machine-{rank}"
        folder.mkdir()
        for name in ["red-chair", "blue-mug", "old-lamp"][rank:]:
            corner().save(folder / f"{name}.glb")
        options = ["--out", "out", "--workers", "1", "--world-size", "2", "--rank", str(rank)]
        assert run(["caption", folder.name, *options]) == 0
    with pytest.raises(InputError, match=r"of rank-00001 \(or of rank-00000, if that is the wrong"):
        stage_folders("out")
    file = tmp_path / "out/rank-00000/stage.json"
    record = json.loads(file.read_text())
    record["counts"]["folders not read"] = 1
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"run the commands of rank-00000 \(or of rank-00001"):
        stage_folders("out")


def test_a_run_without_ranks_leaves_their_folders(tmp_path):
    for rank in (0, 1):
        finish(tmp_path / "out", Ranks(rank, 2))
    said = (
        f"{tmp_path / 'out'} holds the folders of 2 ranks; choose another --out for a run without ranks, or "
        "remove what is there first"
    )
    for overwrite in (False, True):
        with pytest.raises(UsageError) as refused:
            begin(tmp_path / "out", "x", params={}, overwrite=overwrite)
        assert str(refused.value) == said
    assert [f.name for f in stage_folders(tmp_path / "out")] == ["rank-00000", "rank-00001"]


def test_a_rank_leaves_a_run_without_ranks(tmp_path):
    out = tmp_path / "out"
    record = begin(out, "x", params={})
    for is_done in (False, True):
        if is_done:
            record.finish(counts={"ok": 1}, outputs=[])
        with pytest.raises(UsageError) as refused:
            finish(out, Ranks(0, 2))
        assert str(refused.value) == (
            f"{out} holds a run without ranks, which would be read in the place of rank-00000; choose "
            "another --out for the ranks, or remove that run first"
        )
    assert not list(out.glob("rank-*"))
