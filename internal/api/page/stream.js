// The stream of /v1/watch: it is opened again whenever it ends or falls silent.

const LOST_AFTER = 3_000; // ms without an event; the gateway sends a bookmark every second
const GIVE_UP_AFTER = 10_000; // ms without an event after which the connection is given up; a large snapshot may take long
const RETRY_FIRST = 500;
const RETRY_MOST = 5_000;

// Stream calls onEvent(kind, data, now) for each event, and onLink(live) when the gateway is lost and when it is found.
// Times are performance.now(): no wall clock decides anything here.
export class Stream {
  live = null; // null: nothing was heard yet
  heard = performance.now(); // of the last event; before the first, the start
  #source = null;
  #opened = 0;
  #delay = RETRY_FIRST;
  #retry = 0;

  constructor(url, onEvent, onLink) {
    this.url = url;
    this.onEvent = onEvent;
    this.onLink = onLink;
    this.#open();
  }

  // check is to be called every second or oftener.
  check(now) {
    if (now - this.heard > LOST_AFTER && this.live !== false) {
      this.live = false;
      this.onLink(false);
    }
    if (this.#source && now - Math.max(this.heard, this.#opened) > GIVE_UP_AFTER) this.#again();
  }

  #open() {
    this.#opened = performance.now();
    const source = this.#source = new EventSource(this.url);
    for (const kind of ["snapshot", "update", "removed", "bookmark"]) {
      source.addEventListener(kind, (event) => this.#hear(kind, event));
    }
    source.addEventListener("end", () => this.#again());
    source.onerror = () => this.#again();
  }

  #hear(kind, event) {
    const now = this.heard = performance.now();
    this.#delay = RETRY_FIRST;
    this.onEvent(kind, JSON.parse(event.data), now);
    if (!this.live) {
      this.live = true;
      this.onLink(true);
    }
  }

  // again gives this connection up and opens another one a little later, at random lest all pages come at once.
  #again() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(2 * this.#delay, RETRY_MOST);
  }
}
