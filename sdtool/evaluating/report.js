"use strict";
// Filters and order of the assets. The address keeps them: `#verdict=failed&method=A&text=dog&order=name`;
// `#a7` goes to an asset, and shows it whatever the filters are.

const byId = (id) => document.getElementById(id);
const NAMES = ["verdict", "method", "text", "order"];
const WORST_FIRST = ["failed", "inconsistent", "consistent", "not looked at", "not judged", "not applicable"];
const assets = [...document.querySelectorAll(".asset")];
const words = assets.map((asset) => [asset.dataset.name,
  ...[...asset.querySelectorAll("header, code, ul")].map((part) => part.textContent)]
  .join(" ").toLowerCase());
const places = new Map(assets.map((asset, place) => [asset, place]));
const ORDERS = {
  "": () => 0,
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, "en", { numeric: true }),
  verdict: (a, b) => WORST_FIRST.indexOf(a.dataset.verdict) - WORST_FIRST.indexOf(b.dataset.verdict),
};
let order = "";

function show() {
  const [verdict, method, text] = NAMES.map((name) => byId(name).value);
  const wanted = text.toLowerCase().split(/\s+/);
  let count = 0;
  assets.forEach((asset, place) => {
    asset.hidden = (verdict && asset.dataset.verdict !== verdict)
      || (method && asset.dataset.method !== method)
      || !wanted.every((word) => words[place].includes(word));
    count += !asset.hidden;
  });
  byId("shown").textContent = `${count} of ${assets.length} shown`;
  if (order === byId("order").value) return;
  order = byId("order").value;
  const compare = ORDERS[order] || ORDERS[""];
  byId("list").append(...[...assets].sort((a, b) => compare(a, b) || places.get(a) - places.get(b)));
}

function changed() {
  const state = new URLSearchParams();
  for (const name of NAMES) if (byId(name).value) state.set(name, byId(name).value);
  history.replaceState(null, "", `#${state}`);
  show();
}

function arrive() {
  const target = byId(location.hash.slice(1));
  if (target?.hidden) for (const name of ["verdict", "method", "text"]) byId(name).value = "";
  if (!target) {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of NAMES) {
      byId(name).value = state.get(name) || "";
      if (byId(name).selectedIndex === -1) byId(name).value = ""; // no such choice
    }
  }
  show();
  target?.scrollIntoView();
}

/** Print with every picture that is shown, also those that nobody has scrolled to. */
async function printAll() {
  const pictures = [...document.querySelectorAll(".asset:not([hidden]) img")];
  for (const picture of pictures) picture.loading = "eager";
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  print();
}

byId("print").addEventListener("click", printAll);
document.querySelector(".filters").hidden = false;
document.querySelector(".filters").addEventListener("input", changed);
document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", arrive);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input")) return;
  event.preventDefault();
  byId("text").focus();
});
arrive();
