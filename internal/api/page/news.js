// What is told to those who do not look: the gateway lost and found, and engines that turn stale and come back. A sentence
// at most every few seconds, however many engines there are.

import { t, number } from "./words.js";

const EVERY = 5_000; // ms between two sentences about engines
const SETTLE = 5_000; // ms after the gateway is found in which nothing is told of engines: all of them seem to come back
const NAMED = 3; // engines that are named in one sentence

export class News {
  #stale = [];
  #back = [];
  #told = -Infinity;
  #found = 0;
  #lost = false;

  constructor(region) {
    this.region = region;
  }

  say(text) {
    this.region.textContent = text;
  }

  link(live) {
    if (!live) this.say(t("lostNews"));
    else if (this.#lost) this.say(t("foundNews"));
    this.#lost = !live;
    this.#found = this.#told = performance.now();
  }

  // engines is to be called once a second.
  engines(fleet, now, live) {
    if (!live) return;
    for (const engine of fleet.engines.values()) {
      const status = engine.status(now), before = engine.told;
      engine.told = status;
      if (before === null || now - this.#found < SETTLE) continue;
      if (status === "stale" && before !== "stale") this.#stale.push(engine.label);
      if (status !== "stale" && before === "stale") this.#back.push(engine.label);
    }
    if (now - this.#told < EVERY || !(this.#stale.length || this.#back.length)) return;
    this.#told = now;
    this.say([
      this.#stale.length ? t("wentStale", { names: names(this.#stale) }) : "",
      this.#back.length ? t("cameBack", { names: names(this.#back) }) : "",
    ].join(" ").trim());
    this.#stale = [];
    this.#back = [];
  }
}

function names(list) {
  const some = list.slice(0, NAMED).join(", ");
  return list.length > NAMED ? t("andMore", { names: some, count: number(list.length - NAMED) }) : some;
}
