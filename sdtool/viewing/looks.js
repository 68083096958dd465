"use strict";
// What the page can show of a model, and the light it stands in. Built on the three.js before this.

const MODES = [
  ["shaded", "Materials under the chosen light."],
  ["base", "Base colour, without light."],
  ["normal", "Normals of the world: red +X, green +Y (up), blue +Z (front)."],
  ["ccm", "Canonical coordinates: red grows toward +X, green up, blue to the front; each axis over the box."],
];
const LABELS = { shaded: "shaded", base: "base colour", normal: "normal", ccm: "CCM" };

// background; the dome's light from above, from the side and from below; lamps [direction, strength]
const ENVIRONMENTS = {
  light: ["#f2f2f0", [1, 1, 1], [0.75, 0.75, 0.75], [0.4, 0.4, 0.4],
    [[[-2, 3, 3], 9], [[4, 2, 1], 4]]],
  sky: ["#cfe2f3", [0.35, 0.6, 1.2], [0.9, 0.95, 1], [0.3, 0.24, 0.18], [[[3, 4, 2], 22]]],
  dark: ["#17181b", [0.12, 0.12, 0.14], [0.08, 0.08, 0.1], [0.03, 0.03, 0.03],
    [[[-3, 3, 3], 12], [[4, 2, -3], 16], [[3, 0, 4], 2]]],
};

/** The blurred light of an environment, for `scene.environment`. */
function lightOf(name, renderer) {
  const [, above, beside, below, lamps] = ENVIRONMENTS[name];
  const scene = new THREE.Scene();
  const dome = new THREE.SphereGeometry(20, 32, 24);
  const at = dome.attributes.position;
  const color = new Float32Array(3 * at.count);
  for (let i = 0; i < at.count; i++) {
    const height = at.getY(i) / 20;
    const end = height > 0 ? above : below;
    for (let k = 0; k < 3; k++)
      color[3 * i + k] = beside[k] + (end[k] - beside[k]) * Math.sqrt(Math.abs(height));
  }
  dome.setAttribute("color", new THREE.BufferAttribute(color, 3));
  scene.add(new THREE.Mesh(dome,
    new THREE.MeshBasicMaterial({ vertexColors: true, side: THREE.BackSide })));
  for (const [direction, strength] of lamps) {
    const lamp = new THREE.Mesh(new THREE.CircleGeometry(4, 24), new THREE.MeshBasicMaterial());
    lamp.material.color.setScalar(strength);
    lamp.position.fromArray(direction).setLength(14);
    lamp.lookAt(0, 0, 0);
    scene.add(lamp);
  }
  const filter = new THREE.PMREMGenerator(renderer);
  const light = filter.fromScene(scene, 0.03).texture;
  filter.dispose();
  return light;
}

/** End a shader's `main` with one more line, whatever the library wrote before it. */
function extended(shader, line) {
  return shader.replace(/}\s*$/, `${line}\n}`);
}

/** The material of each mode for a mesh that came with `own`, in the model's `box`, seen by `camera`. */
function materialsOf(own, box, camera) {
  const depth = { side: own.side, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
  own.setValues(depth);
  const base = new THREE.MeshBasicMaterial({ ...depth, map: own.map, vertexColors: own.vertexColors,
    alphaTest: own.alphaTest, transparent: own.transparent, opacity: own.opacity });
  if (own.color) base.color.copy(own.color);

  const normal = new THREE.MeshNormalMaterial({ ...depth, flatShading: own.flatShading });
  if (own.normalMap) {
    normal.normalMap = own.normalMap;
    normal.normalScale.copy(own.normalScale);
  }
  normal.onBeforeCompile = (shader) => { // from the camera's frame to the world's
    shader.uniforms.toWorld = { value: camera.matrixWorld };
    shader.fragmentShader = "uniform mat4 toWorld;\n" + extended(shader.fragmentShader,
      "gl_FragColor = vec4(0.5 + 0.5 * normalize((toWorld * vec4(normal, 0.0)).xyz), 1.0);");
  };

  const ccm = new THREE.MeshBasicMaterial(depth);
  const extent = box.getSize(new THREE.Vector3());
  const low = box.min.clone();
  for (const axis of ["x", "y", "z"]) // an axis without extent is 0.5 everywhere
    if (extent[axis] < 1e-6) { extent[axis] = 1; low[axis] -= 0.5; }
  ccm.onBeforeCompile = (shader) => {
    shader.uniforms.ccmLow = { value: low };
    shader.uniforms.ccmExtent = { value: extent };
    shader.vertexShader = "uniform vec3 ccmLow, ccmExtent;\nvarying vec3 vCcm;\n" + extended(
      shader.vertexShader,
      "vCcm = ((modelMatrix * vec4(transformed, 1.0)).xyz - ccmLow) / ccmExtent;");
    shader.fragmentShader = "varying vec3 vCcm;\n" + extended(
      shader.fragmentShader, "gl_FragColor = vec4(clamp(vCcm, 0.0, 1.0), 1.0);");
  };
  return { shaded: own, base, normal, ccm };
}
