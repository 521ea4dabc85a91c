// The columns of the table: what each is sorted by, and how its cell is made and kept up to date.

import { attribute, element, put } from "./dom.js";
import { drawTrend, extent } from "./trend.js";
import { duration, number, percent, signed, t, visible } from "./words.js";

const severity = Object.fromEntries(["stale", "initializing", "idle", "fresh"].map((s, i) => [s, i]));

// text is a column whose cell is one text.
function text(key, value, show, extra) {
  return {
    key, value, ...extra,
    make: (td) => (engine, now) => put(td, show(engine, now)),
  };
}

// trend is a column with a number and its last minutes. The drawing changes once a second, with the samples.
function trend(key, label, ring, value, show, decimals) {
  return {
    key, value, numeric: true, unit: key + "Unit",
    make(td) {
      const figure = element("span"), canvas = element("canvas");
      canvas.setAttribute("role", "img");
      td.append(figure, canvas);
      let drawn = null;
      return (engine, now, slot, redraw) => {
        put(figure, show(engine));
        if (!redraw && drawn === engine.id + slot) return;
        drawn = engine.id + slot;
        const { low, high } = extent(engine[ring]);
        drawTrend(canvas, engine[ring], slot, high, 84, 22);
        attribute(canvas, "aria-label", t(label, { low: number(low, decimals), high: number(high, decimals) }));
      };
    },
  };
}

export const columns = [
  { key: "engine", value: (e) => e.rank }, // its cell is the row's heading, which the table makes
  {
    key: "status", value: (e, now) => severity[e.status(now)],
    make(td) {
      const span = element("span", "status");
      td.append(span);
      return (engine, now) => {
        const status = engine.status(now);
        attribute(span, "data-status", status);
        put(span, t(status));
      };
    },
  },
  {
    key: "mode", value: (e) => e.state.scheduling_mode, wide: true,
    make: (td) => (engine) => {
      const mode = visible(engine.state.scheduling_mode);
      put(td, mode);
      if (td.title !== mode) td.title = mode; // it may be too long for the cell
    },
  },
  trend("latency", "trendLatency", "latency", (e) => e.state.latency_pred_ms, (e) => number(e.state.latency_pred_ms, 1), 1),
  trend("queue", "trendQueue", "queue", (e) => e.state.pending_tokens_total, (e) => number(e.state.pending_tokens_total), 0),
  {
    key: "kv", value: (e) => e.kv, numeric: true,
    make(td) {
      const figure = element("span"), fill = element("i"), meter = element("span", "meter", fill);
      td.append(figure, meter);
      return (engine) => {
        const share = engine.kv;
        const shown = percent(share);
        put(figure, shown);
        meter.hidden = share === null;
        if (share === null) return;
        attribute(meter, "role", "meter");
        attribute(meter, "aria-label", t("kvOf"));
        attribute(meter, "aria-valuemin", 0);
        attribute(meter, "aria-valuemax", 100);
        attribute(meter, "aria-valuenow", Math.round(100 * share));
        attribute(meter, "data-level", share >= 0.95 ? "full" : share >= 0.8 ? "high" : "usual");
        fill.style.transform = `scaleX(${share.toFixed(3)})`;
      };
    },
  },
  text("capacity", (e) => e.state.engine_capacity || null, (e) => number(e.state.engine_capacity || null), { numeric: true, unit: "capacityUnit", wide: true }),
  text("interval", (e) => e.state.push_interval_ms, (e) => number(e.state.push_interval_ms), { numeric: true, unit: "intervalUnit", wide: true }),
  text("skew", (e) => e.state.clock_skew_ms, (e) => signed(e.state.clock_skew_ms), { numeric: true, unit: "skewUnit", wide: true }),
  text("age", (e, now) => e.age(now), (e, now) => ageText(e.age(now)), { numeric: true, unit: "ageUnit" }),
  {
    key: "flags", value: (e) => -(2 * e.state.conflict + e.skewed), // flagged ones first
    make(td) {
      const conflict = element("span", "flag", t("conflict")), skewed = element("span", "flag", t("skewed"));
      conflict.title = t("conflictWhy");
      skewed.title = t("skewedWhy");
      td.append(conflict, skewed);
      return (engine) => {
        conflict.hidden = !engine.state.conflict;
        skewed.hidden = !engine.skewed;
      };
    },
  },
];

// ageText returns ms in seconds, and more in larger units.
export function ageText(ms) {
  return ms < 100_000 ? number(Math.max(ms, 0) / 1000, 1) : duration(ms / 1000);
}
