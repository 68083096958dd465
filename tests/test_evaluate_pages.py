"""evaluate: the report and the blind sheet hold what they are given, and nothing else."""

import base64
import hashlib
import html
import os
import re
from dataclasses import replace

import pytest
from PIL import Image
from report_samples import CALIBRATION, HOSTILE, SAID, answers_of, asset, evaluated, key, report

from sdtool.errors import InputError
from sdtool.evaluating.answers import agreement
from sdtool.evaluating.human import write_sheet
from sdtool.evaluating.report import place_point, turned, write_report
from sdtool.evaluating.results import CONSISTENT, FAILED, INCONSISTENT, Finding, Rate, SourceRates


def words(page):
    """What a page says, without tags, styles and scripts."""
    page = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def policy(page):
    text = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    return dict(rule.strip().split(" ", 1) for rule in text.split(";"))


# The report


def test_the_report_says_every_rate_with_its_interval_and_the_papers(tmp_path):
    said = words(report(tmp_path, evaluated(tmp_path)))
    assert "zebrafish 1 more not applicable 3 / 4 75% 30% to 95%" in said
    assert "quokka 1 of them failed; 1 more not applicable; 1 more not judged 1 / 3 33%" in said
    assert "85%: the paper's, judged by people" in said
    for text in ("sides ≥ 0.62 95% 38 of 40 2% 1 of 60", "thrown out", "39 of 40 goal met"):
        assert text in said, text
    assert "6 of 60 goal missed" in said and "goal ≥ 95%" in said and "goal ≤ 5%" in said
    assert CALIBRATION.command in said and "it has no model" in said and "runs/quokka/house" in said
    assert "sides 0.75 ≥ 0.62 ✓ pass parts 3 – evidence" in said
    assert "Judged by a person" not in said


def test_the_report_says_how_the_verdict_holds_on_each_source(tmp_path):
    assets = evaluated(tmp_path)
    assert "by source" not in report(tmp_path, assets)
    rates = SourceRates(Rate(9, 10), Rate(1, 20), Rate(2, 22), Rate(0, 10))
    nearly = SourceRates(Rate(199, 200), Rate(1, 300), Rate(0, 9), Rate(9, 9))
    known = replace(CALIBRATION, sources={"real assets": rates, "toys": nearly})
    page = write_report(tmp_path, assets, known, title="x", command="x").read_text(encoding="utf-8")
    assert "real assets 90% 9 of 10 5% 1 of 20 0% 0 of 10 9% 2 of 22" in words(page)
    assert "toys >99% 199 of 200 <1% 1 of 300 100% 9 of 9 0% 0 of 9" in words(page)


def test_a_bar_and_its_whisker_stand_at_their_numbers(tmp_path):
    page = report(tmp_path, evaluated(tmp_path))
    first = page.split('<line class="whisker"')[1]
    low, high = Rate(3, 4).interval
    assert f'x1="{100 * low:.2f}%" x2="{100 * high:.2f}%"' in first
    assert '<rect class="bar" x="0" y="11" height="18" width="75.00%"/>' in page
    assert '<line class="goal" x1="85%" x2="85%"' in page


def test_every_cell_of_the_matrix_leads_to_its_asset(tmp_path):
    assets = evaluated(tmp_path)
    page = report(tmp_path, assets)
    cells = re.findall(r'<a class="(\w+)" href="#(a\d+)">.*?</span> ([\w ]+)</a>', page)
    assert len(cells) == len(assets)
    for _, place, verdict in cells:
        card = re.search(rf'(?s)<article class="asset" id="{place}".*?</article>', page)[0]
        assert f'data-verdict="{verdict}"' in card
        assert card.count("<img") == card.count('loading="lazy"') == (verdict != FAILED)
    assert [verdict for _, _, verdict in cells[:2]] == [CONSISTENT, CONSISTENT]  # dog, of both
    assert 'id="matrix"' not in report(tmp_path, [a for a in assets if a.method == "quokka"])


def test_an_azimuth_is_plotted_near_the_diagonal_across_zero():
    assert turned(190) == -170 and turned(-350) == 10 and turned(540) == -180
    assert place_point(90, 100) == (90, 100)
    assert place_point(355, 5) == (355, 365)  # 10° on
    assert place_point(5, 355) == (5, -5)
    assert place_point(10, 190) == (10, 190)  # opposite: inside the square
    assert place_point(300, 60) == (300, 60)  # 120° on would be 420°
    assert place_point(-90, 270) == (270, 270)


def test_hostile_texts_stay_texts(tmp_path):
    plain = report(tmp_path, [asset(tmp_path, "method", "dog", INCONSISTENT)])
    note = Finding(HOSTILE, 0.1, 0.2, False, HOSTILE)
    texts = {"prompt": HOSTILE, "category": HOSTILE, "reasons": (HOSTILE,), "findings": (note,) * 2}
    bad = asset(tmp_path, "method", "dog", INCONSISTENT, **texts)
    bad = replace(bad, method=HOSTILE, name=HOSTILE, path=HOSTILE)
    page = report(tmp_path, [bad], title=HOSTILE, command=HOSTILE)
    assert words(page).count(HOSTILE) >= 8 and page.count("alert(2)") == page.count("alert(2)&#34;")
    for tag in ("<script", "</script", "<img", "<svg"):  # no more elements than in any report
        assert page.count(tag) == plain.count(tag), tag
    assert policy(page) == policy(plain)
    write_sheet(tmp_path, [bad], seed=0)
    sheet = (tmp_path / "human.html").read_text(encoding="utf-8")
    assert "alert(" not in sheet and key(sheet)["shown"][0]["prompt"] == HOSTILE


def test_the_pages_fetch_nothing_and_run_only_their_own_script(tmp_path):
    assets = evaluated(tmp_path)
    write_sheet(tmp_path, assets, seed=0)
    for page in (report(tmp_path, assets), (tmp_path / "human.html").read_text(encoding="utf-8")):
        assert not re.findall(r'\b(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', page)
        assert not re.findall(r"@import|url\(", page)
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        rules = policy(page)
        assert rules["default-src"] == "'none'" and rules["img-src"] == "'self' file:"
        assert rules["script-src"] == f"'sha256-{digest}'"


def test_the_report_shows_what_a_person_said(tmp_path):
    assets = evaluated(tmp_path)
    human = agreement(assets, answers_of(assets, SAID))
    said = words(report(tmp_path, assets, people={"a person": human}))
    assert "zebrafish 1 / 3 33%" in said and "quokka 2 / 4 50%" in said
    assert "agrees with the person on 3 of 5 (60%" in said and "kappa 0.17" in said
    assert "verdict: consistent 2 1 verdict: inconsistent 1 1" in said


# The blind sheet


def test_nothing_of_the_sheet_tells_whose_picture_is_whose(tmp_path):
    assets = evaluated(tmp_path)
    path = write_sheet(tmp_path, assets, seed=5)
    page = path.read_text(encoding="utf-8")
    pictures = sorted((tmp_path / "human").iterdir())
    assert [one.name for one in pictures] == [f"{n:04d}.png" for n in range(1, 10)]
    assert (
        b"runs/zebrafish/dog" in (tmp_path / assets[0].picture).read_bytes()
    )  # but not in its copy
    for secret in ("zebrafish", "quokka", "runs/"):
        assert secret not in page
        assert not [one for one in pictures if secret.encode() in one.read_bytes()]
    shown = key(page)["shown"]
    by_path = {one.path: one for one in assets}
    for one, picture in zip(shown, pictures, strict=True):  # the same pixels, in the key's order
        assert one["picture"] == f"human/{picture.name}"
        with (
            Image.open(picture) as copy,
            Image.open(tmp_path / by_path[one["path"]].picture) as own,
        ):
            assert copy.getpixel((9, 9)) == own.getpixel((9, 9)) and copy.size == own.size
            assert copy.info == {}
    assert key(page)["methods"] == [["zebrafish", 0], ["quokka", 1]]


def test_the_seed_chooses_the_order_and_the_digest_knows_the_pictures(tmp_path):
    assets = evaluated(tmp_path)

    def sheet(seed):
        return key(write_sheet(tmp_path, assets, seed=seed).read_text(encoding="utf-8"))

    first, again, other = sheet(1), sheet(1), sheet(2)
    assert first == again and first["digest"] != other["digest"]
    orders = [[one["path"] for one in found["shown"]] for found in (first, other)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != [one.path for one in assets if one.verdict != FAILED]
    Image.new("RGB", (128, 48), "white").save(tmp_path / assets[0].picture)
    assert sheet(1)["digest"] != first["digest"]


def test_an_earlier_sheets_pictures_go_and_files_of_others_stay(tmp_path):
    assets = evaluated(tmp_path)
    write_sheet(tmp_path, assets, seed=0)
    (tmp_path / "human" / "mine.png").write_bytes(b"mine")
    write_sheet(tmp_path, assets[:2], seed=0)
    assert sorted(os.listdir(tmp_path / "human")) == ["0001.png", "0002.png", "mine.png"]


@pytest.mark.parametrize("content", [None, b"no PNG", b"\x89PNG\r\n\x1a\n", "torn"])
def test_a_picture_that_cannot_be_read_is_one_sentence(content, tmp_path):
    one = asset(tmp_path, "A", "dog", CONSISTENT)
    picture = tmp_path / one.picture
    if content is None:
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[:-20] if content == "torn" else content)
    with pytest.raises(InputError, match=rf"{picture.name}.*evaluate again"):
        write_sheet(tmp_path, [one], seed=0)
