// One engine: its state, its history as the gateway keeps it, and its newest states as they were sent.

import { Chart } from "./chart.js";
import { ageText } from "./columns.js";
import { attribute, element, put } from "./dom.js";
import { clock, number, percent, signed, t, visible } from "./words.js";

const KEEP = 180_000; // ms of history that the page collects beyond what the gateway keeps
const LISTED = 20; // states in the list

// isHeartbeat tells what an agent without work sends from what one says of its engine.
function isHeartbeat(s) {
  return s.latency_pred_ms === 0 && s.scheduling_mode === "latency_optimized" && s.pending_tokens_total === 0 &&
    s.kv_cache_free_blocks === -1 && s.kv_cache_total_blocks === -1 && s.engine_capacity === 0;
}

export class Detail {
  engine = null;
  gone = false;
  #records = []; // of /v1/history, oldest first
  #asked = null; // AbortController of the question that is under way

  constructor(aside, onClose) {
    this.aside = aside;
    this.heading = element("h2");
    this.heading.id = "detail-heading";
    this.heading.tabIndex = -1;
    const close = element("button", "close", t("close"));
    close.type = "button";
    close.addEventListener("click", onClose);
    this.status = element("span", "status");
    this.note = element("p", "note");
    this.list = element("dl");
    this.charts = [
      new Chart(t("latency"), t("latencyUnit"), 1, (r) => r.latency_pred_ms),
      new Chart(t("queue"), t("queueUnit"), 0, (r) => r.pending_tokens_total),
      new Chart(t("kv"), "%", 0, (r) =>
        r.kv_cache_free_blocks >= 0 && r.kv_cache_total_blocks > 0 ? Math.max(100 * (1 - r.kv_cache_free_blocks / r.kv_cache_total_blocks), 0) : null, 100),
    ];
    this.beats = element("p", "hint", t("heartbeats"));
    this.raw = element("ol", "raw");
    const raw = element("details", "", element("summary", "", t("states")), this.raw);
    raw.addEventListener("toggle", () => this.#listStates());
    this.rawBox = raw;
    aside.append(element("div", "top", this.heading, close), element("p", "", this.status), this.note,
      ...this.charts.map((chart) => chart.figure), this.beats, this.list, raw);
  }

  show(engine) {
    if (this.engine === engine) return;
    this.#asked?.abort();
    this.#asked = null;
    this.engine = engine;
    this.#records = [];
    this.aside.hidden = !engine;
    if (engine) put(this.heading, engine.label);
  }

  // ask gets the history; it is to be called once a second.
  async ask() {
    const engine = this.engine;
    if (!engine || this.#asked) return;
    const asked = this.#asked = new AbortController();
    try {
      const response = await fetch(`v1/history?limit=100&engine_id=${encodeURIComponent(engine.id)}`,
        { signal: AbortSignal.any([asked.signal, AbortSignal.timeout(3_000)]), cache: "no-store" });
      if (response.ok) this.#take((await response.json()).states);
    } catch {
      // Lost, or closed meanwhile; what is there stays.
    } finally {
      if (this.#asked === asked) this.#asked = null;
    }
  }

  #take(states) {
    const last = this.#records.at(-1)?.received_at_ms ?? -Infinity;
    for (const state of states) {
      if (state.received_at_ms <= last) continue;
      state.heartbeat = isHeartbeat(state);
      this.#records.push(state);
    }
    const oldest = (this.#records.at(-1)?.received_at_ms ?? 0) - KEEP;
    this.#records = this.#records.filter((r) => r.received_at_ms >= oldest);
    this.#listStates();
  }

  #listStates() {
    if (!this.rawBox.open) return;
    this.raw.replaceChildren(...this.#records.slice(-LISTED).reverse().map(({ heartbeat, received_at_ms, ...state }) =>
      element("li", "", element("code", "", visible(JSON.stringify(state))))));
  }

  // render shows the engine as it is now; plot also draws its history anew, up to the gateway's present. Rest is how many
  // ms after a real state a heartbeat means that there is no work.
  render(now, serverTime, held, plot, rest) {
    const engine = this.engine;
    if (!engine) return;
    const s = engine.state, status = engine.status(now);
    attribute(this.status, "data-status", status);
    put(this.status, t(status));
    put(this.note, !held ? t("gone") : [s.conflict && t("conflictWhy"), engine.skewed && t("skewedWhy")].filter(Boolean).join(" · "));
    const [latency, queue, kv] = this.charts;
    put(latency.now, number(s.latency_pred_ms, 2));
    put(queue.now, number(s.pending_tokens_total));
    put(kv.now, engine.kv === null ? t("unknown") : t("blocks", {
      share: percent(engine.kv), used: number(s.kv_cache_total_blocks - s.kv_cache_free_blocks), total: number(s.kv_cache_total_blocks) }));
    this.#facts([
      ["mode", visible(s.scheduling_mode)],
      ["capacity", s.engine_capacity ? `${number(s.engine_capacity)} ${t("capacityUnit")}` : t("unknown")],
      ["interval", s.push_interval_ms === null ? t("unknown") : `${number(s.push_interval_ms)} ${t("intervalUnit")}`],
      ["age", `${ageText(engine.age(now))} ${t("ageUnit")}`],
      ["staleAfter", `${number(s.stale_after_ms)} ${t("latencyUnit")}`],
      ["skew", `${signed(s.clock_skew_ms)} ${t("skewUnit")}`],
      ["source", s.source_addr === null ? t("unknown") : visible(s.source_addr)],
      ["receivedAt", clock(s.received_at_ms)],
      ["timestamp", clock(s.timestamp_ms)],
      ["lastHeartbeat", s.last_heartbeat_ms === null ? "–" : clock(s.last_heartbeat_ms)],
    ]);
    if (!plot) return;
    const records = this.#records;
    const to = Math.max(serverTime || 0, records.at(-1)?.received_at_ms ?? 0);
    const from = Math.max(to - KEEP, Math.min(records[0]?.received_at_ms ?? to, to - 10_000));
    for (const chart of this.charts) chart.draw(records.filter((r) => r.received_at_ms >= from), from, to, s.stale_after_ms, rest);
    this.beats.hidden = !records.some((r) => r.heartbeat);
  }

  #facts(list) {
    if (!this.list.children.length) {
      this.list.append(...list.map(([key]) => element("div", "", element("dt", "", t(key)), element("dd"))));
    }
    list.forEach(([, value], i) => put(this.list.children[i].lastChild, value));
  }
}
