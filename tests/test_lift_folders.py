"""Directories of prompts: named after them in any script, and nobody moves when lines are added."""

import itertools

import pytest

from sdtool.io.stage_record import begin
from sdtool.lifting.folders import folder_of, folders_of, slug


def lifted(prompts, out):
    """Where each goes, once all have been begun."""
    found = dict(zip(prompts, folders_of(prompts, out), strict=True))
    for prompt, folder in found.items():
        begin(folder, "lift", params={"prompt": prompt}).finish(counts={}, outputs=[])
    return found


@pytest.mark.parametrize(
    "prompt, name",
    [
        ("A red chair, wooden!", "a-red-chair-wooden"),
        ("코기", "코기"),
        ("Ένα κόκκινο σπίτι", "ένα-κόκκινο-σπίτι"),
        ("हिन्दी कुत्ता", "हिन्दी-कुत्ता"),
        ("cafe\u0301", "café"),
        ("../../etc/passwd", "etc-passwd"),
        ("🐶", ""),
        ("...", ""),
    ],
)
def test_names(prompt, name, tmp_path):
    assert slug(prompt) == name
    folder = folder_of(prompt, tmp_path)
    assert folder.parent == tmp_path
    assert folder.name == name or (not name and folder.name.startswith("prompt--"))


def test_long_names_fit_into_a_file_system(tmp_path):
    for prompt in ("龍" * 300, "a long corgi " * 30, "क" * 200, "\U00020000" * 99):
        for folder in folders_of([prompt, prompt + "!"], tmp_path):
            assert len(folder.name.encode()) <= 200
            folder.mkdir()


@pytest.mark.parametrize(
    "prompts",
    [
        ("코기", "고양이", "의자"),
        ("🐶", "🐱", "!"),
        ("a corgi", "a corgi!", "A corgi?"),
        ("a corgi!", "a corgi?", "a corgi;"),
        ("龍" * 100, "龍" * 101, "龍" * 102),
    ],
)
def test_adding_and_moving_lines_moves_nobody(prompts, tmp_path):
    for number, order in enumerate(itertools.permutations(prompts)):
        out = tmp_path / str(number)
        first = lifted(order[:2], out)
        assert len(set(first.values())) == 2
        for more in itertools.permutations(prompts):
            found = lifted(more, out)
            assert len(set(found.values())) == 3 and found.items() >= first.items()
        assert dict(zip(order[1:], folders_of(list(order[1:]), out), strict=True)).items() <= (
            found.items()
        )


def test_before_anything_is_lifted_the_order_of_lines_does_not_matter(tmp_path):
    for prompts in (["a corgi", "a corgi!", "A corgi?"], ["🐶", "🐱", "x"]):
        found = {
            frozenset(zip(order, folders_of(list(order), tmp_path), strict=True))
            for order in itertools.permutations(prompts)
        }
        assert len(found) == 1


def test_another_prompt_of_the_same_words_gets_its_own(tmp_path):
    lifted(["a corgi"], tmp_path)
    assert folder_of("a corgi", tmp_path).name == "a-corgi"
    assert folder_of("a corgi?", tmp_path).name.startswith("a-corgi--")
