// Sparklines: the last minutes of one value on a small canvas, from 0 to its highest.

import { TREND } from "./fleet.js";

const colors = {};

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["line", "area"]) colors[name] = style.getPropertyValue(`--trend-${name}`);
}
readColors();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColors);

// extent returns the lowest and the highest of the values, NaN without any.
export function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? { low, high } : { low: NaN, high: NaN };
}

// drawTrend draws a ring of TREND samples whose newest is at the slot newest. Width and height are CSS pixels.
export function drawTrend(canvas, ring, newest, high, width, height) {
  const scale = devicePixelRatio;
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  const step = (width - 2) / (TREND - 1);
  const rise = (height - 3) / (high || 1);
  const base = height - 1;
  c.lineWidth = 1.2;
  c.lineJoin = "round";
  c.strokeStyle = colors.line;
  c.fillStyle = colors.area;
  for (let i = 0; i < TREND; i++) {
    if (Number.isNaN(ring[(newest + 1 + i) % TREND])) continue;
    const first = i;
    c.beginPath();
    let y = 0;
    for (; i < TREND; i++) {
      const value = ring[(newest + 1 + i) % TREND];
      if (Number.isNaN(value)) break;
      y = base - value * rise;
      c.lineTo(1 + i * step, y);
    }
    const last = i - 1;
    if (last === first) c.lineTo(1 + first * step + 0.8, y); // a single sample is a dot
    c.stroke();
    c.lineTo(1 + last * step, base);
    c.lineTo(1 + first * step, base);
    c.fill();
  }
}
