"use strict";
// Buttons, keys and the preview history. `viewer.js` calls `buildControls` once.

const VIEW_KEYS = { front: "F", side: "S", back: "B", top: "U" };

function buildControls(refresh, look, orbit) {
  const change = (key, value) => { state[key] = value; refresh(); };
  function button(parent, label, title, click) {
    const made = document.createElement("button");
    made.textContent = label;
    made.title = title;
    made.addEventListener("click", click);
    parent.append(made);
    return made;
  }
  function choice(parent, key, value, label, title) {
    const made = button(parent, label, title, () => change(key, value));
    made.dataset.key = key;
    made.dataset.value = value;
    return made;
  }

  MODES.forEach(([name, text], i) => choice(byId("modes"), "mode", name, LABELS[name], `${text} (${i + 1})`));
  for (const name of Object.keys(VIEWS))
    button(byId("views"), name, `Look at the ${name} (${VIEW_KEYS[name]})`, () => look(name));
  for (const name of Object.keys(ENVIRONMENTS)) byId("environment").add(new Option(name, name));
  byId("environment").addEventListener("change", (event) => change("env", event.target.value));
  byId("wire").addEventListener("click", () => change("wire", !state.wire));
  byId("turn").addEventListener("click", () => change("turn", !state.turn));

  // Models
  const select = (number) => { state.model = number % models.length; history(); };
  if (models.length > 1) {
    byId("models").hidden = false;
    models.forEach((model, number) => {
      const made = button(byId("models"), model.title, model.name, () => select(number));
      Object.assign(made.dataset, { key: "model", value: number });
      const name = document.createElement("small");
      name.textContent = model.name;
      made.append(name);
    });
  }

  // The preview history of a run
  const pictures = () => models[state.model].pictures;
  let open = true;
  let playing = 0;
  function picture() {
    const at = pictures()[byId("step").valueAsNumber];
    if (!at) return;
    byId("picture").src = `data:image/png;base64,${at.png}`;
    byId("picture").alt = byId("caption").textContent = at.caption;
  }
  function stop() {
    clearInterval(playing);
    playing = 0;
    byId("play").textContent = "▶";
  }
  function play() {
    const step = byId("step");
    if (playing) return stop();
    if (step.value === step.max) step.value = 0;
    picture();
    byId("play").textContent = "⏸";
    playing = setInterval(() => {
      step.valueAsNumber += 1;
      picture();
      if (step.value === step.max) stop();
    }, 500);
  }
  function history() {
    stop();
    byId("toggle").hidden = !pictures().length;
    byId("toggle").setAttribute("aria-pressed", open);
    byId("history").hidden = !open || !pictures().length;
    byId("step").max = byId("step").value = Math.max(pictures().length - 1, 0);
    picture();
    refresh();
  }
  const toggle = () => { open = !open; history(); };
  byId("step").addEventListener("input", () => { stop(); picture(); });
  byId("play").addEventListener("click", play);
  byId("toggle").addEventListener("click", toggle);

  const environments = Object.keys(ENVIRONMENTS);
  const keys = {
    w: () => change("wire", !state.wire),
    t: () => change("turn", !state.turn),
    e: () => change("env", environments[(environments.indexOf(state.env) + 1) % environments.length]),
    h: toggle,
    p: () => { if (!byId("history").hidden) play(); },
    f: () => look("front"), s: () => look("side"), b: () => look("back"), u: () => look("top"),
    n: () => select(state.model + 1),
    arrowleft: () => orbit(-0.1, 0), arrowright: () => orbit(0.1, 0),
    arrowup: () => orbit(0, -0.1), arrowdown: () => orbit(0, 0.1),
  };
  MODES.forEach(([name], i) => { keys[i + 1] = () => change("mode", name); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.("input, select")) return;
    const act = keys[event.key.toLowerCase()];
    if (act) { event.preventDefault(); act(); }
  });
  history();
}
