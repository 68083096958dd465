"""evaluate: the report and the blind sheet at work in Chromium."""

import html
import json
import re

import pytest
from chromium_samples import in_chromium, open_page
from PIL import Image
from report_samples import HOSTILE, SAID, answers_of, asset, evaluated, key, report

from sdtool.evaluating.answer_files import read_answers
from sdtool.evaluating.answers import agreement
from sdtool.evaluating.human import write_sheet
from sdtool.evaluating.report import write_report
from sdtool.evaluating.results import CONSISTENT, INCONSISTENT, Rate, percent


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
    saved = read_answers(tmp_path / "answers.json")
    answers = saved.given
    assert {one["path"]: one["answer"] for one in answers} == plan
    human = agreement(assets, answers, tmp_path)
    assert saved.asked == {(one["path"], one["method"]) for one in order}
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
const kept = () => STORES.map((store) => Object.values(JSON.parse(localStorage.getItem(store))));
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
    assert found["stayed"] == [[["no"] * 9] * 2, False, False]
    assert found["looked"] == "Object 1 of 9; 9 of 9 answered"
    assert found["cleared"] == [[[], []], False, "Object 1 of 9; 0 of 9 answered", True]
    assert found["answered"] == [["yes"], ["yes"]]


# Who answers three, and finds another sheet there later: with the same pictures but the first answered.
LATER = """
if (!sessionStorage.getItem("been")) {
  sessionStorage.setItem("been", "1");
  for (const answer of ["yes", "no", "unsure"]) say(answer);
  const given = JSON.parse(localStorage.getItem(STORES[1]));
  delete given[seen(shown[0])];
  localStorage.setItem(STORES[1], JSON.stringify({ ...given, "[\\"of another picture\\"]": "yes" }));
  localStorage.removeItem(STORES[0]);
  location.reload();
} else {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify([answers, byId("progress").textContent]);
  document.body.append(told);
}
"""


@in_chromium
def test_answers_stay_when_a_sheet_of_more_pictures_takes_a_sheets_place(tmp_path):
    page = write_sheet(tmp_path, evaluated(tmp_path), seed=4)
    dom = chromium(visited(page, LATER), tmp_path, "--dump-dom")
    found = json.loads(html.unescape(re.search(r'<pre id="told">([^<]*)</pre>', dom)[1]))
    assert found == [[None, "no", "unsure", *[None] * 6], "Object 1 of 9; 2 of 9 answered"]


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
