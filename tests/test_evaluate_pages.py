"""evaluate: the report and the blind sheet hold what they are given, and work in Chromium."""

import base64
import hashlib
import html
import json
import math
import os
import re
from dataclasses import replace

import pytest
from chromium_samples import in_chromium, open_page
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdtool.errors import InputError
from sdtool.evaluating.human import Agreement, agreement, read_answers, write_sheet
from sdtool.evaluating.report import place_point, turned, write_report
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    Calibrated,
    Calibration,
    Evaluated,
    Finding,
    Rate,
    SourceRates,
    percent,
)

HOSTILE = """</script><script>alert('1')</script><img src=x onerror="alert(2)">"""
AZIMUTHS = tuple(range(0, 360, 45))
CALIBRATION = Calibration(
    (
        Calibrated("sides", 0.62, True, Rate(38, 40), Rate(1, 60), {"second head": Rate(20, 20)}),
        Calibrated(
            "parts", 2.5, False, Rate(3, 40), Rate(30, 60), {"six legs": Rate(1, 20)}, False
        ),
    ),
    Rate(39, 40),
    Rate(6, 60),
    {"second head": Rate(20, 20), "six legs": Rate(19, 20)},
    "sdtool evaluate … --calibrate 16",
)


def asset(out, method, name, verdict, **more):
    """An asset whose picture, if it has one, has its own colours and tells its path in a text."""
    picture = "" if verdict == FAILED else f"pictures/{method}-{name}.png"
    if picture:
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        told = PngInfo()
        told.add_text("path", f"runs/{method}/{name}")
        told.add_itxt("Title", method)
        color = tuple(hashlib.sha256(picture.encode()).digest()[:3])
        Image.new("RGB", (128, 48), color).save(out / picture, pnginfo=told)
    usual = {
        "prompt": f"a {name}",
        "reasons": ("it has no model",) if verdict == FAILED else (),
        "truth": AZIMUTHS if picture else (),
        "predicted": tuple((a + 10) % 360 for a in AZIMUTHS) if picture else (),
        "findings": (Finding("sides", 0.75, 0.62, True), Finding("parts", 3.0)) if picture else (),
    }
    path = f"runs/{method}/{name}"
    values = {"category": "", "verdict": verdict, "picture": picture} | usual | more
    return Evaluated(name, method, path, **values)


def evaluated(out):
    """Two methods on the same prompts: 3 of 4 and 1 of 3 consistent, of all verdicts."""
    found = {
        "zebrafish": [CONSISTENT, CONSISTENT, CONSISTENT, INCONSISTENT, SYMMETRIC],
        "quokka": [CONSISTENT, INCONSISTENT, FAILED, UNJUDGED, SYMMETRIC],
    }
    names = ["dog", "cat", "house", "boat", "vase"]
    return [
        asset(out, method, name, verdict)
        for method, verdicts in found.items()
        for name, verdict in zip(names, verdicts, strict=True)
    ]


def report(out, assets, **more):
    """The text of a report's page."""
    usual = {"title": "Of all sides", "command": "sdtool evaluate runs"}
    path = write_report(out, assets, CALIBRATION, **usual | more)
    assert path == out / "index.html"
    return path.read_text(encoding="utf-8")


def words(page):
    """What a page says, without tags, styles and scripts."""
    page = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def policy(page):
    text = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    return dict(rule.strip().split(" ", 1) for rule in text.split(";"))


def key(page):
    return json.loads(base64.b64decode(re.search(r'id="key">([^<]*)<', page)[1]))


# Rates and agreement


def test_wilsons_interval_against_known_values():
    assert Rate(8, 10).interval == pytest.approx((0.490, 0.943), abs=5e-4)
    assert Rate(0, 10).interval == pytest.approx((0, 0.278), abs=5e-4)
    assert Rate(10, 10).interval == pytest.approx((0.722, 1), abs=5e-4)
    assert Rate(0, 3).interval[0] == 0 and Rate(3, 3).interval[1] == 1
    assert Rate(0, 0).interval == (0, 1) and math.isnan(Rate(0, 0).share)


def test_only_none_is_0_percent_and_only_all_is_100():
    assert str(Rate(199, 200)) == "199 of 200: >99% (97% to >99%)"
    assert str(Rate(1, 300)) == "1 of 300: <1% (<1% to 2%)"
    assert str(Rate(0, 300)) == "0 of 300: 0% (0% to 1%)"
    assert str(Rate(300, 300)) == "300 of 300: 100% (99% to 100%)"
    assert [percent(share) for share in (0.005, 0.125, 0.994, 0.995)] == [
        "1%",
        "13%",
        "99%",
        ">99%",
    ]
    assert percent(math.nan) == "–"


def test_kappa_against_a_sum_by_hand():
    found = Agreement({}, Rate(0, 0), both_yes=20, only_automatic=5, only_person=10, both_no=15)
    # 35 of 50 agree; by chance 25/50·30/50 + 25/50·20/50 = 0.5
    assert found.agreed == Rate(35, 50) and found.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert Agreement({}, Rate(0, 0), 7, 0, 0, 5).kappa == 1
    assert Agreement({}, Rate(0, 0), 0, 6, 6, 0).kappa == -1
    assert math.isnan(Agreement({}, Rate(0, 0), 9, 0, 0, 0).kappa)  # nothing but yes
    assert math.isnan(Agreement({}, Rate(0, 0), 0, 0, 0, 0).kappa)


def answers_of(assets, said):
    """Answers as read from a file; said: {(method, name): answer}."""
    by_name = {(one.method, one.name): one for one in assets}
    return [
        {"path": one.path, "method": one.method, "prompt": one.prompt, "answer": answer}
        for one, answer in ((by_name[name], answer) for name, answer in said.items())
    ]


SAID = {
    ("zebrafish", "dog"): "yes",  # as the verdict
    ("zebrafish", "cat"): "no",  # the verdict alone says consistent
    ("zebrafish", "house"): "unsure",
    ("zebrafish", "boat"): "no",  # as the verdict
    ("zebrafish", "vase"): "yes",  # not applicable
    ("quokka", "dog"): "yes",  # as the verdict
    ("quokka", "cat"): "yes",  # the person alone
    ("quokka", "boat"): "no",  # not judged by the machine; quokka's house failed
}


def test_agreement_counts_what_both_judged(tmp_path):
    assets = evaluated(tmp_path)
    found = agreement(assets, answers_of(assets, SAID))
    assert found.rates == {"zebrafish": Rate(1, 3), "quokka": Rate(2, 4)}
    assert found.symmetric == Rate(1, 1) and found.unsure == 1 and found.unanswered == 1
    counts = found.both_yes, found.only_automatic, found.only_person, found.both_no
    assert counts == (2, 1, 1, 1)
    # 3 of 5 agree; by chance 3/5·3/5 + 2/5·2/5 = 13/25
    assert found.kappa == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))


def test_answers_of_other_assets_are_refused(tmp_path):
    assets = evaluated(tmp_path)
    foreign = [{"path": "elsewhere/dog", "method": "quokka", "prompt": "", "answer": "yes"}]
    with pytest.raises(InputError, match=r"elsewhere/dog.*evaluate the folders"):
        agreement(assets, foreign)
    with pytest.raises(InputError, match="quokka/house"):  # it failed: nobody saw it
        agreement(assets, answers_of(assets, {("quokka", "house"): "no"}))


def test_answers_of_what_has_changed_since_are_refused(tmp_path):
    assets = evaluated(tmp_path)
    sheet = key(write_sheet(tmp_path, assets, seed=3).read_text(encoding="utf-8"))
    answers = [
        {**{name: one[name] for name in ("path", "method", "prompt", "digest")}, "answer": "no"}
        for one in sheet["shown"]
    ]
    found = agreement(assets, answers, tmp_path)
    assert found.rates == {"zebrafish": Rate(0, 4), "quokka": Rate(0, 4)}
    cat = next(one for one in assets if one.path == "runs/zebrafish/cat")
    with Image.open(tmp_path / cat.picture) as picture:
        picture.load()
    picture.save(tmp_path / cat.picture)  # the same, without the texts that nobody sees
    assert agreement(assets, answers, tmp_path) == found
    Image.new("RGB", (128, 48), "white").save(tmp_path / cat.picture)  # lifted again
    told = r"1 of 9 answers .* runs/zebrafish/cat \(zebrafish\) has another picture.*new sheet"
    with pytest.raises(InputError, match=told):
        agreement(assets, answers, tmp_path)
    old = [{name: one[name] for name in one if name != "digest"} for one in answers]
    assert agreement(assets, old, tmp_path) == found  # of an older sheet
    renamed = [replace(one, prompt="a wolf") if one.name == "dog" else one for one in assets]
    for some in (answers, old):
        with pytest.raises(InputError, match=r"of 9 answers .*/dog .* has another prompt now"):
            agreement(renamed, some, tmp_path)
    spaced = [replace(one, prompt=f" {one.prompt}\n") for one in assets]
    assert agreement(spaced, old, tmp_path) == found


ONE = {"path": "runs/a", "method": "A", "prompt": "a dog", "answer": "yes"}


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "not valid JSON"),
        ("[]", "does not hold a sheet's answers"),
        ('{"answers": []}', "does not hold a sheet's answers"),
        ([{**ONE, "method": 3}], "answer 1 lacks"),
        ([ONE, "yes"], "answer 2 lacks"),
        ([{**ONE, "digest": 7}], "answer 1 lacks"),
        ([{**ONE, "answer": "maybe"}], "answer 1 is 'maybe'"),
        ([ONE, {**ONE, "answer": "no"}], "answers twice for runs/a"),
    ],
)
def test_a_file_that_holds_no_answers_is_one_sentence(text, told, tmp_path):
    path = tmp_path / "answers.json"
    if not isinstance(text, str):
        text = json.dumps({"sdtool": "0.1.0", "sheet": "ab", "answers": text})
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_answers(path)
    assert str(error.value).startswith(str(path)) and told in str(error.value)


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


# In a browser


def chromium(page, tmp_path, *wanted, state=""):
    """Run headless Chromium on a page, as wide as 700; what it writes to stdout."""
    url, size = page.as_uri() + state, "--window-size=700,1400"
    return open_page(url, tmp_path, size, *wanted, seconds=10)


def visited(page, script):
    """A copy of the page, beside it, that also runs a visitor's script."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)  # it lets no script of a test run
    copy = page.with_name(f"visited-{page.name}")
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return copy


@in_chromium
def test_chromium_shows_the_report_and_the_sheet_with_their_pictures(tmp_path):
    one = asset(tmp_path, "quokka", HOSTILE.replace("/", ""), INCONSISTENT)
    Image.new("RGB", (1294, 484), (0, 160, 70)).save(tmp_path / one.picture)
    report(tmp_path, [one])
    write_sheet(tmp_path, [one], seed=0)
    for name in ("index.html", "human.html"):
        out = tmp_path / f"{name}.png"
        flags = (
            "--window-size=700,3000",
            "--blink-settings=lazyLoadEnabled=false",
        )  # it waits for them
        chromium(tmp_path / name, tmp_path, f"--screenshot={out}", *flags)
        with Image.open(out) as shot:
            colors = {color: count for count, color in shot.convert("RGB").getcolors(1 << 20)}
            area = shot.width * shot.height
        assert colors.get((0, 160, 70), 0) > 0.03 * area, name
        assert len(colors) > 50  # and there is text


@in_chromium
def test_filters_and_order_follow_the_address(tmp_path):
    assets = evaluated(tmp_path)
    report(tmp_path, assets)

    def shown(state):
        page = chromium(tmp_path / "index.html", tmp_path, "--dump-dom", state=state)
        cards = re.findall(r'<article class="asset" ([^>]*)>', page)
        told = re.search(r'id="shown"[^>]*>([^<]*)<', page)[1]
        names = [
            tuple(re.search(rf'data-{k}="([^"]*)"', card)[1] for k in ("method", "name"))
            for card in cards
            if "hidden" not in card
        ]
        assert told == f"{len(names)} of {len(assets)} shown"
        return names

    assert shown("#verdict=inconsistent") == [("zebrafish", "boat"), ("quokka", "cat")]
    assert shown("#method=quokka&order=verdict&text=runs") == [
        ("quokka", name) for name in ("house", "cat", "dog", "boat", "vase")
    ]
    assert shown("#order=name&text=A%20DOG") == [("zebrafish", "dog"), ("quokka", "dog")]


MEASURE = """
const found = { over: document.documentElement.scrollWidth - innerWidth, broken: [], tall: [] };
for (const cell of document.querySelectorAll("th")) {
  const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) for (const word of words.currentNode.data.matchAll(/\\w+/g)) {
    const range = document.createRange();
    range.setStart(words.currentNode, word.index);
    range.setEnd(words.currentNode, word.index + word[0].length);
    if (range.getClientRects().length > 1) found.broken.push(word[0]);
  }
}
for (const row of document.querySelectorAll("table:not(.rates) tbody tr"))
  if (row.getBoundingClientRect().height > 80) found.tall.push(row.textContent);
const told = document.createElement("pre");
told.id = "found";
told.textContent = JSON.stringify(found);
document.body.append(told);
"""


@in_chromium
def test_tables_keep_words_whole_and_rows_low(tmp_path):
    from sdtool.evaluating import thresholds

    lines = thresholds.load().calibration
    path = write_report(tmp_path, evaluated(tmp_path), lines, title="x", command="x")
    page = chromium(visited(path, MEASURE), tmp_path, "--dump-dom", "--window-size=1100,1400")
    found = json.loads(html.unescape(re.search(r'id="found">([^<]*)<', page)[1]))
    assert found["broken"] == found["tall"] == [] and found["over"] <= 0


# Done by a visitor: keys, a step back to change an answer, then the page anew; then the rest, and the file.
VISIT = """
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const PLAN = %s;
const before = document.createElement("pre");
before.id = "before";
document.body.append(before);
const answer = () => {
  const { path } = sheet.shown[at];
  press({ yes: "y", no: "N", unsure: "u" }[PLAN[path]]);
};
if (!sessionStorage.getItem("been")) {
  sessionStorage.setItem("been", byId("progress").textContent);
  for (let i = 0; i < 3; i++) answer();
  press("ArrowLeft");
  press(PLAN[sheet.shown[at].path] === "yes" ? "n" : "y"); // wrong, so that the next is a change
  press("ArrowLeft");
  answer();
  location.reload();
} else {
  const texts = [sessionStorage.getItem("been"), byId("progress").textContent, byId("prompt").textContent];
  texts.push(document.body.innerText);
  press("ArrowRight"); press("ArrowLeft");
  while (!byId("sheet").hidden) answer();
  URL.createObjectURL = (blob) => {
    blob.text().then((text) => {
      before.textContent = JSON.stringify({ texts, file: JSON.parse(text) });
    });
    return "#";
  };
  byId("save").click();
}
"""


@in_chromium
def test_a_visitor_answers_by_keys_comes_back_and_gets_pythons_rates(tmp_path):
    assets = evaluated(tmp_path)
    page = write_sheet(tmp_path, assets, seed=4)
    plan = {one["path"]: one["answer"] for one in answers_of(assets, SAID)}
    plan["runs/quokka/vase"] = "no"
    dom = chromium(visited(page, VISIT % json.dumps(plan)), tmp_path, "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="before">([^<]*)</pre>', dom)[1]))
    first, again, prompt, text = found["texts"]
    order = key(page.read_text(encoding="utf-8"))["shown"]
    assert first == "Object 1 of 9; 0 of 9 answered"
    assert again == "Object 4 of 9; 3 of 9 answered" and prompt == order[3]["prompt"]
    assert "Is this one consistent object from every side" in text
    for secret in ("zebrafish", "quokka", "runs/", CONSISTENT + " ("):
        assert secret not in text, secret
    (tmp_path / "answers.json").write_text(json.dumps(found["file"]), encoding="utf-8")
    answers = read_answers(tmp_path / "answers.json")
    assert {one["path"]: one["answer"] for one in answers} == plan
    human = agreement(assets, answers, tmp_path)
    assert {one["digest"] for one in answers} == {one["digest"] for one in order}
    wanted = {**human.rates, "not applicable (all methods)": human.symmetric}
    assert wanted["quokka"] == Rate(2, 4) and human.symmetric == Rate(1, 2)
    rows = re.findall(
        r'<tr data-yes="(\d+)" data-of="(\d+)" data-low="(\S+)" data-high="(\S+)">'
        r'<th scope="row">([^<]*)</th><td[^>]*>[^<]*</td><td>([^<]*)</td>',
        dom,
    )
    assert [row[4] for row in rows] == list(wanted)
    for yes, of, low, high, name, rate in rows:
        assert Rate(int(yes), int(of)) == wanted[name]
        assert (float(low), float(high)) == pytest.approx(wanted[name].interval, abs=1e-12)
        assert str(wanted[name]) == f"{yes} of {of}: {rate}"
    assert found["file"]["sheet"] == key(page.read_text(encoding="utf-8"))["digest"]


# Who opens a finished sheet: sees no result, asks to begin anew, types and thinks better of it; then does it.
SECOND = """
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const button = (act) => [...document.querySelectorAll(`[data-do=${act}]`)].find((one) => one.offsetParent);
const kept = () => JSON.parse(localStorage.getItem(STORE));
if (!sessionStorage.getItem("been")) {
  sessionStorage.setItem("been", "1");
  const untouched = button("anew").disabled;
  while (!byId("sheet").hidden) press("n");
  sessionStorage.setItem("finished", JSON.stringify([untouched, document.body.innerText]));
  location.reload();
} else {
  const steps = { finished: JSON.parse(sessionStorage.getItem("finished")), opened: document.body.innerText };
  button("anew").focus();
  button("anew").click();
  steps.asked = byId("anew").innerText;
  steps.first = document.activeElement.dataset.do;
  press("y");
  button("stay").click();
  steps.stayed = [kept(), byId("anew").open, byId("choice").hidden];
  press("ArrowLeft");
  steps.looked = byId("progress").textContent;
  button("anew").click();
  button("clear").click();
  steps.cleared = [kept(), byId("anew").open, byId("progress").textContent, button("anew").disabled];
  press("y");
  steps.answered = kept();
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(steps);
  document.body.append(told);
}
"""


@in_chromium
def test_the_next_person_begins_anew_and_sees_no_result(tmp_path):
    assets = evaluated(tmp_path)
    page = write_sheet(tmp_path, assets, seed=4)
    dom = chromium(visited(page, SECOND), tmp_path, "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="told">([^<]*)</pre>', dom)[1]))
    untouched, text = found["finished"]
    assert untouched and "zebrafish" in text and "0 / 4" in text  # who finished it sees the result
    assert "All objects have an answer" in found["opened"] and "begin anew" in found["opened"]
    for secret in ("zebrafish", "quokka", "%", "0 / 4", "a dog"):
        assert secret not in found["opened"], secret
    assert "all 9 answers" in found["asked"] and "Download" in found["asked"]
    assert found["first"] == "save"
    assert found["stayed"] == [["no"] * 9, False, False]
    assert found["looked"] == "Object 1 of 9; 9 of 9 answered"
    assert found["cleared"] == [[None] * 9, False, "Object 1 of 9; 0 of 9 answered", True]
    assert found["answered"] == ["yes", *[None] * 8]


PERCENTS = """
const told = document.createElement("pre");
told.id = "told";
const shares = [];
for (let of = 1; of <= 240; of += 1)
  for (let count = 0; count <= of; count += 1) shares.push([count, of, percent(count / of)]);
told.textContent = JSON.stringify(shares);
document.body.append(told);
"""


@in_chromium
def test_the_sheet_rounds_shares_as_python_does(tmp_path):
    page = write_sheet(tmp_path, [asset(tmp_path, "A", "dog", CONSISTENT)], seed=0)
    dom = chromium(visited(page, PERCENTS), tmp_path, "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="told">([^<]*)</pre>', dom)[1]))
    assert len(found) > 29000 and {">99%", "<1%", "13%"} <= {text for _, _, text in found}
    assert [text for *_, text in found] == [percent(count / of) for count, of, _ in found]
