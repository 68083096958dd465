// node gltf_validate.mjs PACKAGE FILE.glb…: the Khronos validator's report on each file, as JSON lines.
// PACKAGE is the folder of the npm package `gltf-validator`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const validator = createRequire(import.meta.url)(resolve(folder));
for (const file of files) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(file)));
  const { numErrors, numWarnings, messages } = report.issues;
  console.log(JSON.stringify({ file, numErrors, numWarnings, messages }));
}
