"use strict";
// A blind sheet: one picture at a time, an answer for each. `#key` holds the sheet, encoded, so that its
// source does not tell whose picture is whose.

const byId = (id) => document.getElementById(id);
const sheet = JSON.parse(atob(byId("key").textContent));
const shown = sheet.shown; // [{path, method, prompt, picture, digest, counts}]
// By the sheet, wherever it lies, and by the place, for the pictures that another sheet there shows again.
const STORES = [`sdtool-human-${sheet.digest}`, `sdtool-human-at-${location.pathname}`];
const Z = 1.959964;
const ANSWERS = ["yes", "no", "unsure"];
const answers = shown.map(() => null);
let at = 0;

/** By what an answer knows what was asked: what was seen, and of what prompt and method. */
function seen(one) {
  return JSON.stringify([one.digest, one.prompt, one.method, one.path]);
}

function recall() {
  for (const store of STORES) {
    try {
      const kept = JSON.parse(localStorage.getItem(store));
      if (kept === null) continue;
      shown.forEach((one, i) => { if (ANSWERS.includes(kept[seen(one)])) answers[i] = kept[seen(one)]; });
      return;
    } catch { /* nothing usable was kept */ }
  }
}

function keep() {
  try {
    const given = Object.fromEntries(shown.map((one, i) => [seen(one), answers[i]]).filter((pair) => pair[1]));
    for (const store of STORES) localStorage.setItem(store, JSON.stringify(given));
  } catch {
    byId("warning").hidden = false;
  }
}

/** Wilson's interval of `count` of `of`, as in sdtool/evaluating/results.py. */
function interval(count, of) {
  if (!of) return [0, 1];
  const p = count / of;
  const centre = p + Z * Z / (2 * of);
  const scale = 1 + Z * Z / of;
  const half = Z * Math.sqrt(p * (1 - p) / of + Z * Z / (4 * of * of));
  return [count ? (centre - half) / scale : 0, count === of ? 1 : (centre + half) / scale];
}

// Pictures and answers

function show(section) {
  for (const id of ["sheet", "choice", "result"]) byId(id).hidden = id !== section;
}

function look(place) {
  show("sheet");
  at = Math.min(Math.max(place, 0), shown.length - 1);
  byId("prompt").textContent = shown[at].prompt || "(no prompt is known)";
  byId("picture").src = shown[at].picture;
  byId("frame").scrollLeft = 0;
  byId("picture").alt = `Object ${at + 1}: eight views of its colour, normals and canonical coordinates`;
  for (const button of document.querySelectorAll("[data-answer]"))
    button.setAttribute("aria-pressed", button.dataset.answer === answers[at]);
  byId("back").disabled = at === 0;
  byId("on").disabled = at === shown.length - 1;
  count();
  if (at + 1 < shown.length) new Image().src = shown[at + 1].picture; // so that the next one is quick
}

function count() {
  const done = answers.filter(Boolean).length;
  const place = byId("sheet").hidden ? "" : `Object ${at + 1} of ${shown.length}; `;
  byId("progress").textContent = `${place}${done} of ${shown.length} answered`;
  byId("lost").textContent = done === 1 ? "the only answer" : `all ${done} answers`;
  for (const button of document.querySelectorAll("[data-do=anew]")) button.disabled = !done;
  byId("bar").value = done;
  byId("bar").max = Math.max(shown.length, 1);
}

function say(answer) {
  answers[at] = answer;
  keep();
  const later = answers.indexOf(null, at + 1);
  const open = later === -1 ? answers.indexOf(null) : later;
  if (open === -1) finish();
  else look(open);
}

// The result

/** A share in whole percent, as in sdtool/evaluating/results.py: 0% and 100% only of none and all. */
function percent(share) {
  const rounded = Math.floor(Number((100 * share).toFixed(6)) + 0.5);
  if (rounded === 0 && share > 0) return "<1%";
  return rounded === 100 && share < 1 ? ">99%" : `${rounded}%`;
}

/** {name: {yes, of, failed, unsure, open}}: methods by name, then what is not applicable. */
function rows() {
  const found = new Map();
  const row = (name) => {
    if (!found.has(name)) found.set(name, { yes: 0, of: 0, failed: 0, unsure: 0, open: 0 });
    return found.get(name);
  };
  for (const [method, failed] of sheet.methods) {
    row(method).failed = failed;
    row(method).of = failed;
  }
  const symmetric = { yes: 0, of: 0, failed: 0, unsure: 0, open: 0 };
  shown.forEach((one, i) => {
    const into = one.counts ? row(one.method) : symmetric;
    if (answers[i] === "unsure") into.unsure += 1;
    else if (!answers[i]) into.open += 1;
    else {
      into.of += 1;
      into.yes += answers[i] === "yes";
    }
  });
  const listed = [...found];
  if (shown.some((one) => !one.counts)) listed.push(["not applicable (all methods)", symmetric]);
  return listed;
}

function finish() {
  show("result");
  byId("return").hidden = !shown.length;
  byId("heading").textContent = answers.every(Boolean) ? "The result" : "The result so far";
  byId("rates").replaceChildren(...rows().map(([name, { yes, of, failed, unsure, open }]) => {
    const line = document.createElement("tr");
    const [low, high] = interval(yes, of);
    Object.assign(line.dataset, { yes, of, low, high });
    const rate = of ? `${percent(yes / of)} (${percent(low)} to ${percent(high)})` : "–";
    [name, `${yes} / ${of}`, rate, failed, unsure, open].forEach((text, i) => {
      const cell = document.createElement(i ? "td" : "th");
      if (!i) cell.scope = "row";
      else if (i !== 2) cell.className = "number";
      cell.textContent = text;
      line.append(cell);
    });
    return line;
  }));
  count();
  byId("heading").focus();
}

function save() {
  const given = shown.flatMap(({ path, method, prompt, digest }, i) =>
    (answers[i] ? [{ path, method, prompt, digest, answer: answers[i] }] : []));
  const asked = shown.map(({ path, method, digest }) => [path, method, digest]); // what came later is not counted
  const text = JSON.stringify({ sdtool: sheet.sdtool, sheet: sheet.digest, answers: given, asked }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `answers-${sheet.digest}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Coming back, and the next person

/** A finished sheet that is opened again, maybe by somebody else, tells no result unasked. */
function choose() {
  show("choice");
  count();
  byId("done").focus();
}

function clear() {
  answers.fill(null);
  keep();
  byId("anew").close();
  look(0);
  byId("prompt").focus();
}

// Buttons and keys

for (const button of document.querySelectorAll("[data-answer]"))
  button.addEventListener("click", () => say(button.dataset.answer));
byId("back").addEventListener("click", () => look(at - 1));
byId("on").addEventListener("click", () => look(at + 1));
const ACTS = { end: finish, return: () => look(at), save, clear,
  anew: () => byId("anew").showModal(), stay: () => byId("anew").close() };
for (const button of document.querySelectorAll("[data-do]"))
  button.addEventListener("click", ACTS[button.dataset.do]);
const KEYS = { y: () => say("yes"), n: () => say("no"), u: () => say("unsure"),
  arrowleft: () => look(at - 1), arrowright: () => look(at + 1) };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId("anew").open) return;
  const act = KEYS[event.key.toLowerCase()];
  if (!act) return;
  const isBack = event.key === "ArrowLeft" && shown.length; // the only one that leaves another view
  if (byId("sheet").hidden && !isBack) return;
  event.preventDefault();
  if (byId("sheet").hidden) look(at);
  else act();
});

recall();
if (answers.includes(null)) look(answers.indexOf(null));
else if (shown.length) choose();
else finish();
