// The cards at the top: the engines by status, and what /stats says was received and lost.

import { STATUSES, TREND } from "./fleet.js";
import { $, attribute, element, facts, put } from "./dom.js";
import { drawTrend, extent } from "./trend.js";
import { duration, number, t, visible } from "./words.js";

const LATELY = 60; // samples, about one a second
const SMOOTH = 3; // samples that the rate is taken over

export class Stats {
  answer = null; // the newest
  at = -Infinity; // performance.now() of its arrival
  rate = NaN; // datagrams/s
  #samples = []; // [at, answer], oldest first
  #trend = new Float32Array(TREND).fill(NaN);
  #newest = 0;

  // poll asks once a second for ever, or as often as answers come.
  async poll() {
    for (;;) {
      const started = performance.now();
      try {
        const response = await fetch("stats", { signal: AbortSignal.timeout(3_000), cache: "no-store" });
        if (response.ok) this.#take(await response.json(), performance.now());
      } catch {
        // The stream tells of it, and the figures show that they are old.
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(1_000 - (performance.now() - started), 100)));
    }
  }

  #take(answer, now) {
    if (this.answer && answer.uptime_seconds < this.answer.uptime_seconds) this.#samples = []; // another process
    this.answer = answer;
    this.at = now;
    this.#samples.push([now, answer]);
    if (this.#samples.length > LATELY) this.#samples.shift();
    const [before, then] = this.#samples.at(-SMOOTH) ?? this.#samples[0];
    this.rate = now > before ? (1000 * (answer.total_received - then.total_received)) / (now - before) : NaN;
    this.#newest = (this.#newest + 1) % TREND;
    this.#trend[this.#newest] = this.rate;
  }

  // lately returns by how much a count has grown in the last minute.
  #lately(count) {
    return count(this.answer) - count(this.#samples[0][1]);
  }

  render(counts, now) {
    const total = STATUSES.reduce((sum, status) => sum + counts[status], 0);
    put($("engines-total"), number(total));
    facts($("by-status"), STATUSES.map((status) => [t(status), number(counts[status]), status]));
    const shares = $("shares");
    STATUSES.forEach((status, i) => {
      const part = shares.children[i] ?? shares.appendChild(element("i"));
      attribute(part, "data-status", status);
      part.style.flexGrow = counts[status];
      part.hidden = !counts[status];
    });
    const s = this.answer;
    attribute($("summary"), "data-old", s && now - this.at > 4_000 ? "" : null);
    if (!s) return;
    put($("about"), t("about", { version: s.version, uptime: duration(s.uptime_seconds) }));

    put($("received-rate"), number(this.rate));
    const { low, high } = extent(this.#trend);
    const canvas = $("received-trend");
    drawTrend(canvas, this.#trend, this.#newest, high, canvas.clientWidth, 28);
    attribute(canvas, "aria-label", t("receivedTrend", { low: number(low), high: number(high), now: number(this.rate) }));
    facts($("received-facts"), [
      [t("applied"), number(s.applied)], [t("duplicate"), number(s.duplicate)], [t("outOfOrder"), number(s.out_of_order)]]);

    this.#losses("rejected", (a) => a.invalid_states);
    facts($("rejected-reasons"), Object.entries(s.rejected).filter(([, n]) => n > 0).map(([reason, n]) => [reason, number(n)]));
    this.#losses("kernel", (a) => a.kernel_dropped);
    put($("kernel-total"), number(s.kernel_dropped));

    const log = s.log_enabled ? t("logOn", { lag: seconds(s.log_lag_seconds) }) : t("logOff");
    put($("log-state"), s.log_trouble ? t("logTrouble", { trouble: visible(s.log_trouble) }) : log);
    this.#losses("log", (a) => a.log_dropped);
    facts($("log-facts"), [
      [t("dropped"), number(s.log_dropped)], [t("queued"), number(s.log_queued)], [t("written"), number(s.logged)]]);
  }

  // losses shows a count that should be 0: ever, and lately.
  #losses(name, count) {
    const ever = count(this.answer), lately = this.#lately(count);
    if (name === "rejected") put($("rejected-total"), number(ever));
    put($(`${name}-lately`), lately ? t("someLately", { count: number(lately) }) : ever ? t("noneLately") : t("noneEver"));
    const trouble = lately > 0 || (name === "log" && this.answer.log_trouble);
    attribute($(`card-${name}`), "data-loss", trouble ? "now" : ever ? "once" : "never");
  }
}

function seconds(s) {
  return s < 1 ? `${number(1000 * s)} ms` : duration(s);
}
