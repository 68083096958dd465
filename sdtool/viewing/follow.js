"use strict";
// Asks for the lift's state every second, until it is done.

const SPACE = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
let shown = "";

function told(found) {
  if (found.status === "done") return "done";
  if (found.status === "stopped") return "stopped; the same command goes on";
  if (found.status === "waiting") return "the priors are being loaded";
  if (found.status === "choosing") return `choosing: ${found.candidate}`;
  return found.left === null ? "running" : `running, ${duration(found.left)} left`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// A curve of [step, value] in a box of 100×100, smoothed, on a logarithmic scale.
function line(points, steps, low, high) {
  let mean = null;
  return points
    .map(([step, value]) => {
      const size = Math.log10(Math.max(value, 1e-6));
      mean = mean === null ? size : 0.8 * mean + 0.2 * size;
      const y = 95 - (90 * (mean - low)) / Math.max(high - low, 1e-6);
      return `${((100 * step) / steps).toFixed(2)} ${y.toFixed(2)}`;
    })
    .join(" L");
}

function chart(phase) {
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  const curves = Object.entries(phase.losses);
  const sizes = curves.flatMap(([, points]) => points.map(([, v]) => Math.log10(Math.max(v, 1e-6))));
  const low = Math.min(...sizes), high = Math.max(...sizes);
  for (const [name, points] of curves) {
    const path = document.createElementNS(SPACE, "path");
    path.setAttribute("d", `M${line(points, phase.steps, low, high)}`);
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

function section(phase) {
  const box = document.createElement("section");
  const head = document.createElement("h2"), count = document.createElement("p");
  const bar = document.createElement("progress");
  head.textContent = phase.name;
  count.textContent = `${phase.done} of ${phase.steps} steps`;
  bar.max = phase.steps;
  bar.value = phase.done;
  box.append(head, count, bar, chart(phase));
  return box;
}

async function look() {
  let found = null;
  try {
    found = await (await fetch("/state")).json();
  } catch {
    byId("status").textContent = "the command has ended, or does not answer";
    return;
  }
  if (found.prompt) byId("prompt").textContent = found.prompt;
  byId("status").textContent = told(found);
  byId("phases").replaceChildren(...found.phases.map(section));
  if (found.picture && found.picture !== shown) {
    byId("picture").src = `/picture?${encodeURIComponent(found.picture)}`;
    byId("picture").hidden = false;
    shown = found.picture;
  }
  if (found.status !== "done" && found.status !== "stopped") setTimeout(look, 1000);
}

look();
