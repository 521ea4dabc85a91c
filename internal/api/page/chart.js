// One plot of an engine's history: a value that holds from one state to the next, over time, with axes.

import { element } from "./dom.js";
import { number, t, duration } from "./words.js";

const WIDTH = 400, HEIGHT = 108; // of the drawing; it is scaled to the room there is
const LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 24;

function svg(name, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

const HUGE = 1e300; // what is more is drawn as this: sums of it are still numbers

// Chart draws value(record), null where it is not known, with the given decimals; its axis ends at most if that is given,
// else at what there is.
export class Chart {
  constructor(title, unit, decimals, value, most) {
    Object.assign(this, { title, decimals, value, most });
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    this.now = element("span");
    this.figure = element("figure", "", element("figcaption", "", title, " ", element("small", "", unit), " ", this.now), this.svg);
  }

  // draw plots the records from one Unix ms to another. The line ends after limit ms of silence, and where a heartbeat
  // says after rest ms without a real state that there is no work.
  draw(records, from, to, limit, rest) {
    const values = records.filter((r) => !r.heartbeat && this.value(r) !== null);
    let low = Infinity, high = -Infinity;
    for (const r of values) {
      low = Math.min(low, this.value(r));
      high = Math.max(high, this.value(r));
    }
    const end = this.most ?? Math.min(values.length ? high : 1, HUGE);
    const step = niceStep(end);
    const top = Math.max(Math.ceil(end / step), 1) * step;
    const x = (ms) => LEFT + ((ms - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
    const y = (v) => HEIGHT - BOTTOM - (Math.min(v, top) / top) * (HEIGHT - TOP - BOTTOM);

    const parts = [];
    for (let v = 0; v <= top * 1.001; v += step) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) }));
      parts.push(svg("text", { class: "tick", x: LEFT - 5, y: y(v) + 3.5, "text-anchor": "end" }, number(v, step < 1 ? (step < 0.1 ? 2 : 1) : 0)));
    }
    const seconds = (to - from) / 1000;
    const every = [5, 10, 20, 30, 60].find((s) => seconds / s <= 6) ?? 60;
    for (let s = 0; s <= seconds; s += every) {
      const at = x(to - 1000 * s);
      parts.push(svg("line", { class: "axis", x1: at, x2: at, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 3 }));
      parts.push(svg("text", { class: "tick", x: at, y: HEIGHT - 7, "text-anchor": s ? "middle" : "end" }, s ? `−${duration(s)}` : duration(0)));
    }
    for (const r of records) {
      if (r.heartbeat) parts.push(svg("line", { class: "beat", x1: x(r.received_at_ms), x2: x(r.received_at_ms), y1: HEIGHT - BOTTOM + 1, y2: HEIGHT - BOTTOM + 6 }));
    }
    let d = "", on = false, heard = -Infinity, real = -Infinity;
    for (const r of records) {
      const at = r.received_at_ms, place = x(at).toFixed(1);
      const v = r.heartbeat ? null : this.value(r);
      if (at - heard > limit) on = false;
      heard = at;
      if (v !== null) {
        d += `${on ? `H${place}V` : `M${place} `}${y(v).toFixed(1)}`;
        on = true;
        real = at;
      } else if (on && at - real > rest) {
        d += `H${place}`;
        on = false;
      }
    }
    if (on && to - heard <= limit) d += `H${x(to).toFixed(1)}`;
    parts.push(svg("path", { class: "line", d }));
    this.svg.replaceChildren(...parts);
    this.svg.setAttribute("aria-label", values.length
      ? t("historyOf", {
        what: this.title, span: duration(seconds), low: number(low, this.decimals), high: number(high, this.decimals),
        newest: number(this.value(values.at(-1)), this.decimals),
      })
      : `${this.title}: ${t("noHistory")}`);
  }
}

// niceStep returns a round step that makes two to four parts of high.
function niceStep(high) {
  if (!(high > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(high / 2));
  return power * ([1, 2, 5, 10].find((m) => high / (m * power) <= 4) ?? 10);
}
