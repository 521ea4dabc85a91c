// The table: only the rows in view are in the document, and each of them stays its engine's as long as it is in view.

import { columns } from "./columns.js";
import { attribute, element, put } from "./dom.js";
import { t } from "./words.js";

const WALK = 10_000; // ms for which a key keeps the rows at their places
const SPARE = 4; // rows above and below those in view

class Row {
  engine = null;
  index = -1;
  #cells;

  constructor() {
    this.button = element("button", "id");
    this.button.type = "button";
    attribute(this.button, "aria-controls", "detail");
    const heading = element("th", "", this.button);
    heading.scope = "row";
    this.tr = element("tr", "", heading);
    this.tr.row = this;
    this.#cells = columns.slice(1).map((column) => {
      const td = element("td", cellClass(column));
      this.tr.append(td);
      return column.make(td);
    });
  }

  render(index, now, slot, redraw, open) {
    const engine = this.engine;
    if (this.index !== index) {
      this.index = index;
      attribute(this.tr, "aria-rowindex", index + 2); // the heads are the first
    }
    put(this.button, engine.label);
    if (this.button.title !== engine.label) this.button.title = engine.label;
    attribute(this.button, "aria-expanded", open === engine);
    attribute(this.tr, "data-status", engine.status(now));
    for (const cell of this.#cells) cell(engine, now, slot, redraw);
  }
}

function cellClass(column) {
  return `c-${column.key}${column.numeric ? " number" : ""}${column.wide ? " wide" : ""}`;
}

export class Table {
  order = []; // engines
  open = null; // the engine whose detail is shown
  #active = null; // the engine that the keyboard is at
  #rows = new Map(); // engine → Row, those in the document
  #walked = -Infinity; // when a key was last pressed
  #top = 0; // of the viewport, as scrolled
  #height = 0;
  #rowHeight = 0;
  #headHeight = 0;

  // onSort(column) and onOpen(engine) are called for what people do, onMove() when other rows come into view.
  constructor({ viewport, extent, table, head, body, onSort, onOpen, onMove }) {
    Object.assign(this, { viewport, extent, table, body, onMove });
    this.heads = columns.map((column) => {
      const button = element("button", "sort", t(column.key));
      button.type = "button";
      if (column.unit) button.append(" ", element("small", "", t(column.unit)));
      button.addEventListener("click", () => onSort(column));
      const th = element("th", cellClass(column), button);
      th.scope = "col";
      head.append(th);
      return th;
    });
    attribute(head, "aria-rowindex", 1);
    viewport.addEventListener("scroll", () => {
      if (viewport.scrollTop === this.#top) return;
      this.#top = viewport.scrollTop;
      onMove();
    }, { passive: true });
    viewport.addEventListener("keydown", (event) => this.#key(event));
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr")?.row;
      if (!row || !getSelection().isCollapsed) return; // who selects text to copy it opens nothing
      this.#active = row.engine;
      onOpen(row.engine);
    });
    new ResizeObserver(() => {
      this.#measure();
      onMove();
    }).observe(viewport);
  }

  // sorted marks the column that the order is by.
  sorted(by, descending) {
    columns.forEach((column, i) => attribute(this.heads[i], "aria-sort", column !== by ? null : descending ? "descending" : "ascending"));
  }

  // busy reports whether somebody walks through the rows with the keyboard: they should not change places then.
  busy(now) {
    return now - this.#walked < WALK && this.body.contains(document.activeElement);
  }

  // focus gives the keyboard to the row of the engine that it was at last.
  focus() {
    const at = this.order.indexOf(this.#active);
    if (at >= 0) this.#go(at);
    else this.viewport.focus({ preventScroll: true });
  }

  // render brings the rows in view up to date. Slot is that of the newest samples.
  render(now, slot, redraw) {
    const { order, body } = this;
    if (!this.#rowHeight && order.length) this.#measure();
    const h = this.#rowHeight || 32;
    const first = Math.max(Math.min(Math.floor(this.#top / h), order.length) - SPARE, 0);
    const wanted = order.slice(first, Math.ceil((this.#top + this.#height) / h) + SPARE);
    attribute(this.table, "aria-rowcount", order.length + 1);
    this.extent.style.height = `${this.#headHeight + order.length * h}px`;
    this.extent.style.paddingTop = `${first * h}px`;

    const stays = new Set(wanted);
    const free = [];
    for (const [engine, row] of this.#rows) {
      if (stays.has(engine)) continue;
      if (row.tr.contains(document.activeElement)) this.viewport.focus({ preventScroll: true });
      this.#rows.delete(engine);
      free.push(row);
    }
    const rows = wanted.map((engine) => {
      let row = this.#rows.get(engine);
      if (!row) {
        row = free.pop() ?? new Row();
        row.engine = engine;
        this.#rows.set(engine, row);
      }
      return row;
    });
    for (const row of free) row.tr.remove();
    place(body, rows);

    const stop = stays.has(this.#active) ? this.#active : order[Math.ceil(this.#top / h)] ?? wanted[0];
    rows.forEach((row, i) => {
      row.render(first + i, now, slot, redraw, this.open);
      row.button.tabIndex = row.engine === stop ? 0 : -1;
    });
  }

  #measure() {
    this.#height = this.viewport.clientHeight;
    this.#headHeight = this.table.tHead.offsetHeight;
    this.#rowHeight = this.body.rows[0]?.getBoundingClientRect().height ?? 0;
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("thead")) return;
    const row = event.target.closest("tr")?.row;
    const at = row ? row.index : this.order.indexOf(this.#active);
    const page = Math.max(Math.floor((this.#height - this.#headHeight) / this.#rowHeight) - 1, 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity }[event.key];
    if (to === undefined || !this.order.length) return;
    event.preventDefault();
    this.#go(Math.min(Math.max(to, 0), this.order.length - 1));
  }

  #go(index) {
    this.#walked = performance.now();
    this.#active = this.order[index];
    const top = index * this.#rowHeight;
    const room = this.#height - this.#headHeight - this.#rowHeight;
    if (top < this.#top) this.viewport.scrollTop = top;
    else if (top > this.#top + room) this.viewport.scrollTop = top - room;
    this.#top = this.viewport.scrollTop;
    this.onMove(true);
    this.#rows.get(this.#active)?.button.focus({ preventScroll: true });
  }
}

// place puts the rows into the document in their order, without touching the one that has the focus.
function place(body, rows) {
  if (!rows.length) return;
  let pinned = rows.findIndex((row) => row.tr.contains(document.activeElement));
  if (pinned < 0) {
    pinned = 0;
    if (body.firstChild !== rows[0].tr) body.prepend(rows[0].tr);
  }
  for (let i = pinned - 1; i >= 0; i--) {
    if (rows[i].tr.nextSibling !== rows[i + 1].tr) body.insertBefore(rows[i].tr, rows[i + 1].tr);
  }
  for (let i = pinned + 1; i < rows.length; i++) {
    if (rows[i - 1].tr.nextSibling !== rows[i].tr) rows[i - 1].tr.after(rows[i].tr);
  }
}
