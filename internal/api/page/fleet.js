// The engines as the page knows them: the newest state of each, its age by the page's own clock, and its last minutes.

import { visible } from "./words.js";

export const STATUSES = ["fresh", "idle", "initializing", "stale"];
export const TREND = 180; // samples, one a second
const MOST = 1e30; // of a sample; a float32 has no place for much more
const SKEW_LIMIT = 1_000; // ms; from there the gateway warns, too
const FORGET_AFTER = 60_000; // ms after which an engine that no snapshot had is forgotten

export class Engine {
  constructor(id) {
    this.id = id;
    this.label = visible(id);
    this.state = null; // the object of /v1/watch?fields=engines
    this.at = 0; // when its newest state reached the gateway, as performance.now() would have said
    this.held = true; // the last snapshot had it, or an update since
    this.rank = 0; // its place by id
    this.latency = new Float32Array(TREND).fill(NaN); // rings, indexed by second
    this.queue = new Float32Array(TREND).fill(NaN);
    this.told = null; // the status that people were told
  }

  age(now) {
    return now - this.at;
  }

  // status ages by the page's clock: an engine turns stale here without the gateway's saying so.
  status(now) {
    return this.age(now) > this.state.stale_after_ms ? "stale" : this.state.status;
  }

  // kv is the share of the KV cache in use, null if not known.
  get kv() {
    const { kv_cache_free_blocks: free, kv_cache_total_blocks: total } = this.state;
    return free >= 0 && total > 0 ? Math.min(Math.max((total - free) / total, 0), 1) : null;
  }

  get skewed() {
    return Math.abs(this.state.clock_skew_ms) > SKEW_LIMIT;
  }
}

export class Fleet {
  engines = new Map();
  #collator = new Intl.Collator(undefined, { numeric: true });
  #ranked = true;
  #second = 0; // the last one that was sampled
  #server = null; // [server_time_ms, performance.now() at its arrival]

  // take applies one event of the stream, which arrived at now.
  take(kind, data, now) {
    if (data.server_time_ms) this.#server = [data.server_time_ms, now];
    if (kind === "removed") {
      for (const id of data.engine_ids) this.engines.delete(id);
      return;
    }
    if (kind === "snapshot") {
      for (const engine of this.engines.values()) engine.held = false;
    }
    const states = data.states;
    for (const id in states) {
      let engine = this.engines.get(id);
      if (!engine) {
        this.engines.set(id, engine = new Engine(id));
        this.#ranked = false;
      }
      const state = states[id];
      engine.state = state;
      engine.at = now - state.age_ms;
      engine.held = true;
    }
  }

  // serverTime is the gateway's wall clock, for showing only.
  serverTime(now) {
    return this.#server ? this.#server[0] + now - this.#server[1] : NaN;
  }

  // sample notes each engine's values for the second that now is in, and for one that a late timer missed; of more, which
  // nobody saw, nothing is known.
  sample(now) {
    const second = Math.floor(now / 1000);
    const missed = Math.min(second - this.#second, TREND);
    this.#second = second;
    for (const engine of this.engines.values()) {
      const stale = engine.status(now) === "stale";
      const latency = stale ? NaN : Math.min(engine.state.latency_pred_ms, MOST);
      const queue = stale ? NaN : engine.state.pending_tokens_total;
      for (let i = 0; i < missed; i++) {
        const slot = (second - i) % TREND;
        const seen = i === 0 || missed <= 2;
        engine.latency[slot] = seen ? latency : NaN;
        engine.queue[slot] = seen ? queue : NaN;
      }
    }
  }

  // newest is the ring slot of the last sample.
  get newest() {
    return this.#second % TREND;
  }

  // forget drops engines that no snapshot has had for long: the gateway was restarted, and they have gone.
  forget(now) {
    for (const engine of this.engines.values()) {
      if (!engine.held && engine.age(now) > FORGET_AFTER) this.engines.delete(engine.id);
    }
  }

  count(now) {
    const counts = { fresh: 0, idle: 0, initializing: 0, stale: 0 };
    for (const engine of this.engines.values()) counts[engine.status(now)]++;
    return counts;
  }

  // select returns the engines that pass the filter, in the order of the column's value; what is not known comes last,
  // equals by id.
  select({ text, statuses, flagged, column, descending }, now) {
    this.#rank();
    const needle = text.trim().toLowerCase();
    const rows = [];
    for (const engine of this.engines.values()) {
      if (statuses.size && !statuses.has(engine.status(now))) continue;
      if (flagged && !engine.state.conflict && !engine.skewed) continue;
      if (needle && !`${engine.label}\n${engine.state.scheduling_mode}\n${engine.state.source_addr}`.toLowerCase().includes(needle)) continue;
      const value = column.value(engine, now);
      rows.push({ engine, value: value == null || Number.isNaN(value) ? null : value });
    }
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => {
      if (a.value === b.value) return sign * (a.engine.rank - b.engine.rank);
      if (a.value === null) return 1;
      if (b.value === null) return -1;
      return a.value < b.value ? -sign : sign;
    });
    return rows.map((row) => row.engine);
  }

  // rank orders the ids as people do (engine-2 before engine-10), once for all sorting until another engine comes.
  #rank() {
    if (this.#ranked) return;
    this.#ranked = true;
    [...this.engines.values()]
      .sort((a, b) => this.#collator.compare(a.label, b.label) || (a.id < b.id ? -1 : 1))
      .forEach((engine, rank) => { engine.rank = rank; });
  }
}
