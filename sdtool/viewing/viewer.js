"use strict";
// The page: models from #data, one scene, one state. `#mode=ccm&wire=1&env=dark&view=side&model=2`
// in the address opens it in that state.

const VIEWS = { front: [0, 12], side: [90, 12], back: [180, 12], top: [0, 80] }; // degrees
const byId = (id) => document.getElementById(id);
const models = JSON.parse(byId("data").textContent);
const asked = new URLSearchParams(location.hash.slice(1));
const among = (name, choices, usual) => (choices.includes(asked.get(name)) ? asked.get(name) : usual);
const modeNames = MODES.map(([name]) => name);
const state = {
  model: Math.min(Math.max(parseInt(asked.get("model")) || 1, 1), models.length) - 1,
  mode: among("mode", modeNames, "shaded"),
  env: among("env", Object.keys(ENVIRONMENTS), "light"),
  wire: asked.get("wire") === "1",
  turn: false,
};

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

// The loader then decodes textures as the page's own images, which a printed page waits for.
self.createImageBitmap = undefined;

function start() {
  const canvas = byId("stage");
  const renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.autoClear = false;
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(35, 1, 0.01, 100);
  const lights = {};
  const shown = models.map(() => null);
  const lines = new THREE.MeshBasicMaterial({ wireframe: true, transparent: true, opacity: 0.45 });
  let stale = true;

  // Camera: the library zooms and moves; turning keeps +Y up.
  const controls = new THREE.TrackballControls(camera, canvas);
  Object.assign(controls, { noRotate: true, staticMoving: true, minDistance: 0.2, maxDistance: 20,
    keys: [] });
  const fingers = new Set();
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    fingers.add(event.pointerId);
    last = event.button === 0 && fingers.size === 1 ? event : null;
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => { fingers.delete(event.pointerId); last = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || fingers.size !== 1) return;
    const scale = Math.PI / canvas.clientHeight;
    orbit((last.pageX - event.pageX) * scale, (last.pageY - event.pageY) * scale);
    last = event;
  });
  function orbit(around, over) {
    const place = new THREE.Spherical().setFromVector3(camera.position.clone().sub(controls.target));
    place.theta += around;
    place.phi = Math.min(Math.max(place.phi + over, 0.02), Math.PI - 0.02);
    camera.position.setFromSpherical(place).add(controls.target);
    camera.lookAt(controls.target);
    stale = true;
  }
  function look(view) {
    const [azimuth, elevation] = VIEWS[view].map(THREE.MathUtils.degToRad);
    const half = THREE.MathUtils.degToRad(camera.fov / 2);
    const narrow = Math.atan(Math.tan(half) * Math.min(1, camera.aspect));
    controls.target.set(0, 0, 0);
    camera.position.setFromSphericalCoords(0.78 / Math.sin(narrow), Math.PI / 2 - elevation, azimuth);
    camera.lookAt(0, 0, 0);
    stale = true;
  }

  // Models: each is brought to a box around the origin whose longest side is 1.
  function load(number) {
    const { glb, low, high } = models[number];
    const bytes = Uint8Array.from(atob(glb), (letter) => letter.charCodeAt(0));
    const fail = (error) => say(`${models[number].name} cannot be shown here (${error.message || error}).`);
    new THREE.GLTFLoader().parse(bytes.buffer, "", (gltf) => {
      const box = new THREE.Box3(new THREE.Vector3(...low), new THREE.Vector3(...high));
      const size = box.getSize(new THREE.Vector3());
      const scale = 1 / Math.max(size.x, size.y, size.z);
      const group = new THREE.Group();
      group.add(gltf.scene);
      group.scale.setScalar(scale);
      group.position.copy(box.getCenter(new THREE.Vector3())).multiplyScalar(-scale);
      const placed = new THREE.Box3().setFromCenterAndSize(
        new THREE.Vector3(), size.multiplyScalar(scale));
      group.traverse((one) => {
        if (one.isMesh) one.userData.looks = materialsOf(one.material, placed, camera);
        else if (one.isLight || one.isLine || one.isPoints) one.visible = false;
      });
      shown[number] = group;
      scene.add(group);
      refresh();
    }, fail);
    models[number].glb = ""; // decoded once
  }

  /** Bring the scene and the buttons to `state`. */
  function refresh() {
    const model = models[state.model];
    if (model.glb) load(state.model);
    if (shown[state.model]) say("");
    shown.forEach((group, number) => {
      if (!group) return;
      group.visible = number === state.model;
      group.traverse((one) => { if (one.isMesh) one.material = one.userData.looks[state.mode]; });
    });
    scene.environment = lights[state.env] ||= lightOf(state.env, renderer);
    renderer.setClearColor(ENVIRONMENTS[state.env][0]);
    lines.color.set(state.mode === "shaded" && state.env === "dark" ? "#9fd0ff" : "#10182a");
    document.body.className = state.env === "dark" ? "dark" : "";
    document.body.style.background = ENVIRONMENTS[state.env][0];
    byId("title").textContent = model.title;
    byId("facts").textContent = model.facts;
    byId("legend").textContent = MODES.find(([name]) => name === state.mode)[1];
    byId("environment").value = state.env;
    for (const button of document.querySelectorAll("button[data-key]"))
      button.setAttribute("aria-pressed", String(state[button.dataset.key]) === button.dataset.value);
    byId("wire").setAttribute("aria-pressed", state.wire);
    byId("turn").setAttribute("aria-pressed", state.turn);
    resize();
  }

  function resize() {
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    renderer.setSize(innerWidth, innerHeight, false);
    document.body.style.setProperty("--under", `${byId("facts").getBoundingClientRect().bottom + 14}px`);
    // The object stands in the middle of what header, buttons, list and history leave free.
    const panel = byId("history").getBoundingClientRect();
    const below = panel.width > 0.7 * innerWidth;
    const list = byId("models").getBoundingClientRect();
    const above = list.width > 0.7 * innerWidth;
    const left = above ? 0 : list.right;
    const top = above ? list.bottom : byId("facts").getBoundingClientRect().bottom;
    const bottom = panel.height && below ? panel.top : byId("buttons").getBoundingClientRect().top;
    const right = panel.height && !below ? panel.left : innerWidth;
    const [width, height] = [Math.max(right - left, 50), Math.max(bottom - top, 50)];
    camera.aspect = width / height;
    camera.setViewOffset(width, height, -left, -top, innerWidth, innerHeight);
    controls.handleResize();
    stale = true;
  }
  controls.addEventListener("change", () => { stale = true; });
  addEventListener("resize", resize);
  let before = 0;
  function frame(now) {
    requestAnimationFrame(frame);
    if (state.turn) orbit(0.0005 * Math.min(now - before, 100), 0);
    before = now;
    controls.update();
    if (!stale) return;
    stale = false;
    renderer.clear();
    renderer.render(scene, camera);
    if (state.wire) { // the edges over what is shown
      scene.overrideMaterial = lines;
      renderer.render(scene, camera);
      scene.overrideMaterial = null;
    }
  }
  buildControls(refresh, look, orbit);
  refresh();
  look(among("view", Object.keys(VIEWS), "front"));
  requestAnimationFrame(frame);
}

try {
  start();
} catch (error) {
  say(`This page needs WebGL, which the browser does not give (${error.message}).`);
}
