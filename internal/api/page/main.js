// The page: events of the stream go into the fleet as they come; four times a second at most the fleet is shown.

import { columns } from "./columns.js";
import { Detail } from "./detail.js";
import { $, attribute, element, put } from "./dom.js";
import { Fleet, STATUSES } from "./fleet.js";
import { News } from "./news.js";
import { Stream } from "./stream.js";
import { Stats } from "./summary.js";
import { Table } from "./table.js";
import { language, number, t } from "./words.js";

const RENDER_EVERY = 250; // ms
const TELL_AFTER = 700; // ms without a further key
const SORT_EVERY = 2_000; // ms: rows that change places oftener cannot be read

export const counts = { events: 0, renders: 0 }; // for whoever measures the page

document.documentElement.lang = language;
for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t);
for (const e of document.querySelectorAll("[data-t-label]")) e.setAttribute("aria-label", t(e.dataset.tLabel));
for (const e of document.querySelectorAll("[data-t-placeholder]")) e.placeholder = t(e.dataset.tPlaceholder);

const fleet = new Fleet();
const stats = new Stats();
const news = new News($("news"));
const choice = { text: "", statuses: new Set(), flagged: false, column: columns[0], descending: false };
let sortedAt = -Infinity, drawnSlot = -1, redraw = false;

const table = new Table({
  viewport: $("viewport"), extent: $("extent"), table: $("table"), head: $("columns"), body: $("rows"),
  onSort(column) {
    choice.descending = choice.column === column ? !choice.descending : column.numeric && column.key !== "age";
    choice.column = column;
    table.sorted(column, choice.descending);
    select();
  },
  onOpen: (engine) => open(engine),
  onMove: (now) => (now ? table.render(performance.now(), fleet.newest, false) : schedule()),
});
table.sorted(choice.column, choice.descending);
const detail = new Detail($("detail"), () => open(null));

const stream = new Stream("v1/watch?fields=engines&stale=include", (kind, data, now) => {
  counts.events++;
  fleet.take(kind, data, now);
  if (kind === "snapshot") sortedAt = -Infinity;
}, (live) => {
  if (live) sortedAt = -Infinity;
  news.link(live);
  schedule();
});
stats.poll();

// The filter.

function select() {
  sortedAt = -Infinity;
  schedule();
}

// narrowed also tells how many there are left, once the choice is made.
function narrowed() {
  select();
  clearTimeout(telling);
  telling = setTimeout(() => news.say($("shown").textContent), TELL_AFTER);
}
let telling = 0;

$("filter").addEventListener("input", (event) => {
  choice.text = event.target.value;
  narrowed();
});
$("tools").addEventListener("submit", (event) => event.preventDefault());
for (const key of [...STATUSES, "flagged"]) {
  const button = element("button", "choice", t(key));
  button.type = "button";
  button.dataset.status = key;
  attribute(button, "aria-pressed", false);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    attribute(button, "aria-pressed", on);
    if (key === "flagged") choice.flagged = on;
    else if (on) choice.statuses.add(key);
    else choice.statuses.delete(key);
    narrowed();
  });
  $("statuses").append(button);
}

function showAll() {
  $("filter").value = choice.text = "";
  for (const button of $("statuses").children) attribute(button, "aria-pressed", false);
  choice.statuses.clear();
  choice.flagged = false;
  narrowed();
  $("filter").focus();
}

// One engine. Its id is in the address, so that the view can be handed on.

function open(engine) {
  if (engine === detail.engine) engine = null;
  show(engine);
  $("work").classList.toggle("with-detail", engine !== null);
  history.replaceState(null, "", engine ? `#engine=${encodeURIComponent(engine.id)}` : "#");
  if (engine) {
    detail.ask().then(() => { redraw = true; schedule(); });
    detail.heading.focus();
  } else {
    table.focus();
  }
  redraw = true;
  schedule();
}

function show(engine) {
  detail.show(engine);
  table.open = engine;
}

let linked = location.hash.startsWith("#engine=") ? decode(location.hash.slice("#engine=".length)) : null;

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null; // no address that this page made
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && detail.engine && event.target !== $("filter")) open(null);
});

// Rendering.

let scheduled = false;

function schedule() {
  if (scheduled || document.hidden) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    render();
  });
}

function render() {
  const now = performance.now();
  const slot = fleet.newest;
  const plot = redraw || slot !== drawnSlot;
  counts.renders++;
  const total = fleet.engines.size;
  if (sortedAt === -Infinity || (now - sortedAt >= SORT_EVERY && !table.busy(now))) {
    sortedAt = now;
    table.order = fleet.select(choice, now);
  }
  if (linked !== null && fleet.engines.has(linked)) {
    const engine = fleet.engines.get(linked);
    linked = null;
    open(engine);
  }
  const current = fleet.engines.get(detail.engine?.id);
  if (current && current !== detail.engine) show(current); // it was removed and came back
  const none = total === 0;
  $("tools").hidden = none;
  $("viewport").hidden = none || !table.order.length;
  showEmpty(none, table.order.length === 0);
  put($("shown"), table.order.length === total ? t("shownAll", { total: number(total) })
    : t("shownSome", { shown: number(table.order.length), total: number(total) }));
  table.render(now, slot, redraw);
  if (plot) stats.render(fleet.count(now), now);
  detail.render(now, fleet.serverTime(now), current !== undefined, plot, (stats.answer?.stale_threshold_ms ?? 2000) / 2);
  showLink(now);
  drawnSlot = slot;
  redraw = false;
}

function showLink(now) {
  const word = stream.live === null ? "connecting" : stream.live ? "live" : "lost";
  attribute($("link"), "data-link", word);
  put($("link"), t(word));
  const lost = stream.live === false;
  document.body.classList.toggle("lost", lost);
  $("banner").hidden = !lost;
  if (lost) put($("banner"), t("lostBanner", { seconds: number(Math.floor((now - stream.heard) / 1000)) }));
  document.title = lost ? `${t("lost")} – ELRAR State Gateway` : "ELRAR State Gateway";
}

// showEmpty says why there are no rows, and what to do.
function showEmpty(none, noMatch) {
  const box = $("empty");
  const kind = none ? (stream.live && stats.answer ? "none" : "") : noMatch ? "noMatch" : "";
  box.hidden = !kind;
  const s = stats.answer;
  const rejected = kind === "none" && s.invalid_states > 0;
  const key = kind + rejected;
  if (box.dataset.kind === key) return;
  box.dataset.kind = key;
  if (kind === "none") {
    const host = location.hostname.replace(/^\[|\]$/g, "");
    const example = JSON.stringify({ engine_id: "test", timestamp_ms: Date.now(), latency_pred_ms: 20.5, scheduling_mode: "balanced",
      pending_tokens_total: 10, kv_cache_free_blocks: 100, kv_cache_total_blocks: 1000, engine_capacity: 1000 });
    box.replaceChildren(element("h3", "", t("emptyTitle")),
      element("p", "", t("emptyHow", { port: s.udp_port, mode: s.network_mode, address: s.bind_address })),
      element("pre", "", element("code", "", `echo '${example}' | nc -u -w1 ${host} ${s.udp_port}`)));
    if (rejected) box.append(element("p", "", t("emptyArrives")));
  } else if (kind === "noMatch") {
    const button = element("button", "choice", t("clearFilter"));
    button.type = "button";
    button.addEventListener("click", showAll);
    box.replaceChildren(element("p", "", t("noMatch")), button);
  }
}

setInterval(() => {
  stream.check(performance.now());
  schedule();
}, RENDER_EVERY);
setInterval(() => {
  const now = performance.now();
  if (stream.live) {
    fleet.forget(now);
    fleet.sample(now);
  }
  news.engines(fleet, now, stream.live);
  if (!document.hidden && fleet.engines.has(detail.engine?.id)) detail.ask();
}, 1_000);
document.addEventListener("visibilitychange", () => {
  redraw = true;
  schedule();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  redraw = true;
  schedule();
});
