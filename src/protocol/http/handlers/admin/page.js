// The inspector: the frames of /events, a table of connections from /loop.json, and one connection in detail.

import { barAt, barsIn, drawCell, drawSlab, drawStrip, fit, readColors } from "./chart.js";

const TURNS_KEPT = 2000;
const ROWS = 100;
const token = document.querySelector('meta[name="token"]').content;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const element = (name, properties) => Object.assign(document.createElement(name), properties);
const on = (id, type, listener) => $(id).addEventListener(type, listener);

// ---- Text

const [whole, fine] = [0, 1].map((maximumFractionDigits) => new Intl.NumberFormat("en", { maximumFractionDigits }));
const number = (value) => (value < 100 ? fine : whole).format(value);
const plural = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1023.95 && unit < 4; unit += 1) value /= 1024;
  return `${value.toFixed(unit > 0 && value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

const micros = (value) => (value < 1000 ? `${number(value)} µs` : millis(value / 1000));

function millis(value) {
  if (value < 999.95) return `${number(value)} ms`;
  if (value < 60_000) return `${number(value / 1000)} s`;
  const [days, hours, minutes, seconds] = [864e5, 36e5, 6e4, 1e3].map((unit) => Math.floor(value / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min ${seconds % 60} s`;
}

const formats = { number, bytes, micros, millis, text: String, yes: (value) => (value ? "yes" : "no") };

// Changes only what differs: a frame arrives ten times a second.
function write(target, text) {
  if (target.textContent !== String(text)) target.textContent = text;
}

// Writes values into the elements with data-KIND, which holds the path of a value; data-as is its format.
function fill(kind, values) {
  for (const target of all(`[data-${kind}]`)) {
    const value = target.dataset[kind].split(".").reduce((part, name) => part?.[name], values);
    write(target, value == null ? "–" : formats[target.dataset.as ?? "number"](value));
  }
}

// ---- The legend

const legend = all(".legend li").map((item) => ({
  ...item.dataset, item, group: item.className, name: item.querySelector("span").textContent,
}));
const phases = new Map(legend.filter(({ phase }) => phase).map((entry) => [entry.letter, entry]));
const protocols = new Map(legend.filter(({ phase }) => !phase).map((entry) => [entry.letter, entry.name]));
const groups = new Map([...phases.values()].map(({ phase, group }) => [phase, group]));

function showLegend({ open, phases: counts, slots }) {
  const cells = { tls: 0 };
  for (const cell of slots.protocols) {
    cells[cell] = (cells[cell] ?? 0) + 1;
    if (cell >= "A" && cell <= "Z") cells.tls += 1;
  }
  for (const { item, protocol, phase, letter } of legend) {
    const value = (protocol ? open[protocol] : phase ? counts[phase] : cells[letter]) ?? 0;
    write(item.querySelector("b"), number(value));
    item.classList.toggle("none", value === 0);
  }
}

// ---- The stream of frames

const live = { source: null, lost: false, paused: false, timer: 0, at: 0, frame: null, queued: false, drawn: 0 };
const samples = [];
let turns = [];
let chosen = -1;

function connect() {
  disconnect();
  samples.length = 0;
  const source = (live.source = new EventSource("events"));
  source.addEventListener("frame", (event) => receive(JSON.parse(event.data)));
  source.addEventListener("open", () => {
    live.lost = false;
    showStatus();
  });
  source.addEventListener("error", () => {
    live.lost = true;
    showStatus();
    // The browser gives up if the response is an error.
    if (source.readyState === EventSource.CLOSED && live.source === source) live.timer = setTimeout(connect, 2000);
  });
  showStatus();
}

function disconnect() {
  clearTimeout(live.timer);
  live.source?.close();
  live.source = null;
}

function receive(frame) {
  // After a restart of the server, turns and counters begin again.
  if (frame.uptime_ms < live.frame?.uptime_ms) turns.length = samples.length = 0;
  [live.frame, live.at] = [frame, performance.now()];
  const last = turns.at(-1)?.[0] ?? -1;
  turns = turns.concat(frame.turns.recent.filter(([turn]) => turn > last)).slice(-TURNS_KEPT);
  samples.push(frame);
  while (samples.length > 2 && samples[1].uptime_ms <= frame.uptime_ms - 1000) samples.shift();
  showStatus();
  if (live.queued) return;
  live.queued = true;
  const delay = calm.matches ? Math.max(0, live.drawn + 1000 - live.at) : 0;
  setTimeout(() => requestAnimationFrame(render), delay);
}

// Returns the growth of the counters per second, over the last second; that of the time working is in percent.
function rates() {
  const [first, last] = [samples[0], samples.at(-1)];
  const seconds = (last?.uptime_ms - first?.uptime_ms) / 1000;
  if (!(seconds >= 0.4)) return {};
  const rate = (part, name) => (last[part][name] - first[part][name]) / seconds;
  const names = ["requests", "accepted", "received_bytes", "sent_bytes"];
  const growth = names.map((name) => [name, rate("counters", name)]);
  return { ...Object.fromEntries(growth), busy: Math.min(100, rate("turns", "work_us") / 1e4) };
}

function showStatus() {
  const isOpen = live.source?.readyState === EventSource.OPEN;
  const state = live.paused ? "paused" : isOpen ? "live" : live.lost ? "disconnected" : "connecting";
  const silent = Math.floor((performance.now() - live.at) / 1000);
  const late = state === "live" && silent >= 3 ? `, last frame ${silent} s ago` : "";
  $("status").dataset.state = state;
  write($("status"), state + late + (state === "disconnected" ? ", reconnecting" : ""));
}

function pause(paused) {
  // Nothing may change afterwards.
  if (live.queued) render();
  live.paused = paused;
  chosen = turns.length - 1;
  write($("pause"), paused ? "Resume" : "Pause");
  $("step-back").disabled = $("step-forward").disabled = !paused;
  // Only while paused: a screen reader cannot follow every turn.
  $("turn-detail").setAttribute("aria-live", paused ? "polite" : "off");
  disconnect();
  table.reading?.abort();
  if (!paused) connect();
  tick();
  showStatus();
  showTurns();
}

function step(by) {
  if (!live.paused) return;
  chosen = Math.max(0, Math.min(turns.length - 1, chosen + by));
  showTurns();
}

// ---- The parts that show a frame

function render() {
  live.queued = false;
  live.drawn = performance.now();
  const { frame } = live;
  const { open, cache, counters, turns: { time_us, events_per_turn } } = frame;
  const served = Object.entries(open).reduce((sum, [name, count]) => sum + (name === "admin" ? 0 : count), 0);
  const hit_rate = cache.hits ? (100 * cache.hits) / (cache.hits + cache.misses) : null;
  fill("frame", { ...frame, served, hit_rate, rates: rates() });
  $("pause").disabled = false;
  $("draining").hidden = !frame.draining;
  $("outdated").hidden = frame.version === 1;
  showTurns();
  showSlots(frame.slots);
  showLegend(frame);
  showStalls(frame.stalls);
  showReasons(counters.closed);
  showHistogram("turn-times", time_us, micros);
  showHistogram("turn-events", events_per_turn, number);
  showTimers(frame.timers);
}

function showStalls({ count, causes, recent }) {
  const [total, list] = $("stalls").children;
  const kinds = Object.entries(causes).map(([call, times]) => `${call} ${number(times)}`).join(", ");
  write(total, count ? `${plural(count, "stall")}: ${kinds}` : "No stall so far.");
  if (list.dataset.shown === JSON.stringify(recent)) return;
  list.dataset.shown = JSON.stringify(recent);
  list.replaceChildren(...recent.toReversed().map(({ ms, turn, call, call_ms, connection, time }) => {
    const text = `${number(ms)} ms in turn ${number(turn)}: ${call} took ${number(call_ms)} ms`;
    const item = element("li", { textContent: text });
    if (connection != null) {
      const onclick = () => select({ id: connection });
      item.append(", for ", element("button", { type: "button", textContent: `connection ${connection}`, onclick }));
    }
    const clock = new Date(time).toLocaleTimeString();
    item.append(" ", element("time", { dateTime: time, textContent: `at ${clock}` }));
    return item;
  }));
}

function showReasons(closed) {
  for (const row of $("close-reasons").rows) {
    const count = closed[row.dataset.reason] ?? 0;
    row.hidden = count === 0;
    write(row.cells[1], number(count));
  }
  $("no-reasons").hidden = Object.keys(closed).length > 0;
}

// Shows a sentence, and rows of a name and a count with bars.
function showBars(id, sentence, rows) {
  const body = $(id).querySelector("tbody");
  write($(id).firstElementChild, sentence);
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) {
    const row = body.insertRow();
    row.append(element("th", { scope: "row" }), element("td"), element("td"));
    row.cells[1].append(element("i"));
  }
  const most = Math.max(1, ...rows.map(([, count]) => count));
  rows.forEach(([name, count], index) => {
    const { cells } = body.rows[index];
    write(cells[0], name);
    cells[1].firstChild.style.width = count ? `max(2px, ${((100 * count) / most).toFixed(1)}%)` : "0";
    write(cells[2], number(count));
  });
}

function showHistogram(id, { bounds, counts }, format) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const name = (index) => (index in bounds ? `≤ ${format(bounds[index])}` : `> ${format(bounds.at(-1))}`);
  const most = (part) => {
    let seen = 0;
    return name(counts.findIndex((count) => (seen += count) >= total * part));
  };
  const sentence = total ? `Half of the turns: ${most(0.5)}; 99 of 100: ${most(0.99)}` : "No turn yet.";
  // Nothing is above or below the numbers that occurred.
  const [first, last] = [counts.findIndex(Boolean), counts.findLastIndex(Boolean)];
  showBars(id, sentence, counts.map((count, index) => [name(index), count]).slice(Math.max(0, first), last + 1));
}

function showTimers({ count, next_ms, due }) {
  const names = { "1s": "within 1 s", "10s": "within 10 s", "60s": "within 60 s", later: "later" };
  const sentence = count ? `${plural(count, "timer")}, the next in ${millis(next_ms ?? 0)}` : "No timer is set.";
  showBars("timers", sentence, Object.entries(due).map(([key, value]) => [names[key] ?? key, value]));
}

// ---- Turns

function showTurns() {
  const index = live.paused ? chosen : turns.length - 1;
  const [first, last] = visibleTurns();
  drawStrip($("turns"), turns.slice(first, last), live.paused ? index - first : -1);
  if (index < 0) return;
  const [turn, events, driven, poll, work, budget] = turns[index];
  write($("turn-title"), `Turn ${number(turn)}`);
  fill("turn", { events, driven, poll, work, budget });
  // While the loop is busy, the frames list only some of its turns.
  const place = `${number(index + 1)} of the ${plural(turns.length, "turn")} that this page has kept`;
  write($("turn-note"), live.paused ? place : "The newest turn. Pause to step through the last ones.");
}

// Returns the range of turns that the strip shows; the chosen one is in it.
function visibleTurns() {
  const room = barsIn($("turns"));
  const last = live.paused ? Math.min(turns.length, Math.max(chosen + Math.ceil(room / 4), room)) : turns.length;
  return [Math.max(0, last - room), last];
}

on("turns", "click", ({ offsetX }) => {
  if (!live.frame) return;
  const [first, last] = visibleTurns();
  if (!live.paused) pause(true);
  chosen = Math.max(first, Math.min(last - 1, last - barAt($("turns"), offsetX)));
  showTurns();
});

// ---- Slots

const canvas = $("grid");
const scroller = $("slab");
const grid = { protocols: "", phases: "", size: 1, columns: 1, cursor: 0, chosen: -1, hovered: null };

function showSlots(slots) {
  const before = { ...grid };
  Object.assign(grid, slots);
  if (slots.protocols.length !== before.protocols.length) layOut();
  else drawSlots((slot) => ["protocols", "phases"].some((name) => slots[name][slot] !== before[name][slot]));
}

// Places the cells. The canvas covers the visible part only: the limit of a canvas is below 16,000 cells on a phone.
function layOut() {
  const count = grid.protocols.length;
  grid.size = Math.round((count > 3000 ? 12 : count > 300 ? 18 : 28) * devicePixelRatio);
  grid.columns = Math.max(1, Math.floor((scroller.clientWidth * devicePixelRatio) / grid.size));
  $("slab-height").style.height = `${(Math.ceil(count / grid.columns) * grid.size) / devicePixelRatio}px`;
  [canvas.style.width, canvas.style.height] = [`${scroller.clientWidth}px`, `${scroller.clientHeight}px`];
  fit(canvas);
  canvas.ariaLabel = plural(count, "slot");
  drawSlots();
}

// Draws the changed cells, or all of them.
function drawSlots(isChanged) {
  const rings = grid.chosen >= 0 ? [[grid.chosen, "ink"]] : [];
  if (document.activeElement === canvas) rings.push([grid.cursor, "poll"]);
  drawSlab(canvas, grid, Math.round(scroller.scrollTop * devicePixelRatio), rings, isChanged);
  write($("cell-now"), describe(grid.hovered ?? grid.cursor));
}

function describe(slot) {
  const [cell = ".", phase] = [grid.protocols[slot], grid.phases[slot]];
  if (cell === ".") return `Slot ${slot} is free`;
  const name = protocols.get(cell.toLowerCase());
  if (!phases.has(phase)) return `Slot ${slot}: ${name}`;
  return `Slot ${slot}: ${name} connection${cell < "a" ? " with TLS" : ""}, ${phases.get(phase).name}`;
}

function slotAt({ offsetX, offsetY }) {
  const [x, y] = [offsetX, offsetY + scroller.scrollTop].map((at) => Math.floor((at * devicePixelRatio) / grid.size));
  const slot = y * grid.columns + x;
  return x < grid.columns && slot < grid.protocols.length ? slot : null;
}

function moveCursor(slot) {
  grid.cursor = Math.max(0, Math.min(grid.protocols.length - 1, slot));
  const height = grid.size / devicePixelRatio;
  const top = Math.floor(grid.cursor / grid.columns) * height;
  scroller.scrollTop = Math.min(top, Math.max(top + height - scroller.clientHeight, scroller.scrollTop));
  drawSlots();
  write($("cell"), describe(grid.cursor));
}

on("grid", "keydown", (event) => {
  const { columns, cursor, protocols } = grid;
  const moves = {
    ArrowLeft: cursor - 1, ArrowRight: cursor + 1, ArrowUp: cursor - columns, ArrowDown: cursor + columns,
    Home: 0, End: protocols.length, PageUp: cursor - 10 * columns, PageDown: cursor + 10 * columns,
  };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") select({ slot: cursor });
  else if (event.key in moves) moveCursor(moves[event.key]);
  else return;
  event.preventDefault();
});
on("grid", "click", (event) => {
  const slot = slotAt(event);
  if (slot === null) return;
  grid.cursor = slot;
  select({ slot });
});
on("grid", "pointermove", (event) => {
  grid.hovered = slotAt(event);
  write($("cell-now"), describe(grid.hovered ?? grid.cursor));
});
on("grid", "pointerleave", () => (grid.hovered = null));
for (const type of ["focus", "blur"]) on("grid", type, () => drawSlots());
on("slab", "scroll", () => drawSlots());

// ---- The table

const table = { sort: "id", order: "desc", reading: null, rows: new Map() };
const filters = ["protocol", "phase", "peer"];

async function read(query, signal) {
  const response = await fetch(`loop.json?${new URLSearchParams(query)}`, { cache: "no-store", signal });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

// Reads the table again. A change of the filter or the order replaces a request that is still in progress.
async function refreshTable(isChanged) {
  if (table.reading && !isChanged) return;
  table.reading?.abort();
  const reading = (table.reading = new AbortController());
  const chosen = filters.map((name) => [name, $(`filter-${name}`).value.trim()]).filter(([, value]) => value);
  try {
    const query = { ...Object.fromEntries(chosen), sort: table.sort, order: table.order, limit: ROWS };
    showTable(await read(query, reading.signal));
  } catch (error) {
    if (!reading.signal.aborted) write($("matched"), `not up to date: ${error.message}`);
  }
  if (table.reading === reading) table.reading = null;
}

function showTable({ matched, connections }) {
  const body = $("connections").tBodies[0];
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const rows = connections.map(rowOf);
  table.rows = new Map(rows.map((row) => [Number(row.dataset.id), row]));
  const isMoved = rows.length !== body.rows.length || rows.some((row, index) => row !== body.rows[index]);
  if (isMoved) body.replaceChildren(...rows);
  // A row that moves loses the focus.
  if (isMoved) focused?.focus({ preventScroll: true });
  write($("matched"), `${plural(matched, "connection")} ${matched === 1 ? "matches" : "match"}`);
  $("more").hidden = matched <= rows.length;
  write($("more"), `${number(matched - rows.length)} more match`);
  markRow();
}

function rowOf(connection) {
  const { id, protocol, tls, phase, peer, requests, deadline_ms } = connection;
  let row = table.rows.get(id);
  if (!row) {
    row = element("tr");
    row.dataset.id = id;
    row.append(...Array.from({ length: 11 }, () => element("td")));
    row.cells[0].append(element("button", { type: "button", textContent: id, ariaLabel: `Connection ${id}` }));
  }
  const times = [connection.age_ms, connection.inactive_ms].map(millis);
  const sizes = [connection.in, connection.out, connection.queued].map(bytes);
  const deadline = deadline_ms == null ? "–" : millis(deadline_ms);
  [protocol + (tls ? ", TLS" : ""), phase, peer, ...times, ...sizes, number(requests), deadline]
    .forEach((text, index) => write(row.cells[index + 1], text));
  row.cells[2].className = groups.get(phase) ?? "";
  return row;
}

function markRow() {
  for (const [id, row] of table.rows) row.ariaCurrent = id === details.id ? "true" : null;
}

function sortBy(sort) {
  table.order = sort === table.sort && table.order === "desc" ? "asc" : "desc";
  table.sort = sort;
  for (const heading of all("th[data-sort]")) {
    heading.ariaSort = heading.dataset.sort !== sort ? null : table.order === "desc" ? "descending" : "ascending";
  }
  refreshTable(true);
}

for (const heading of all("th[data-sort]")) {
  heading.firstElementChild.addEventListener("click", () => sortBy(heading.dataset.sort));
}
on("connections", "click", ({ target }) => {
  const id = target.closest("tr")?.dataset.id;
  if (id) select({ id: Number(id) });
});
for (const name of filters) on(`filter-${name}`, "input", () => refreshTable(true));

// ---- One connection

const details = { query: null, id: null, shown: null, isAsked: false };

function select(query) {
  Object.assign(details, { query, id: query.id ?? null });
  grid.chosen = query.slot ?? -1;
  ask(false);
  refreshDetails(true);
}

async function refreshDetails(isNew) {
  const { query } = details;
  if (!query) return;
  let answer;
  try {
    answer = await read(query);
  } catch (error) {
    if (isNew) write($("why"), `The connection cannot be read: ${error.message}.`);
    return;
  }
  // Another one was selected, or the page was paused.
  if (details.query !== query || (live.paused && !isNew)) return;
  const found = answer.connections.find(({ id, slot }) => (query.id == null ? slot === query.slot : id === query.id));
  if (found) showConnection(found);
  else showNothing(query);
  markRow();
  drawSlots();
  if (!isNew) return;
  write($("cell"), `${$("details-title").textContent}: ${$("why").textContent}`);
  $("details").scrollIntoView({ block: "nearest" });
}

function showConnection(connection) {
  const { id, slot, phase, why } = connection;
  // From now on the connection is meant, not its slot, which another one may get.
  if (details.id !== id) Object.assign(details, { query: { id }, id });
  details.shown = id;
  grid.chosen = slot;
  write($("details-title"), `Connection ${id}`);
  write($("why"), why.charAt(0).toUpperCase() + why.slice(1));
  $("why").className = groups.get(phase) ?? "";
  fill("connection", connection);
  if (!details.isAsked) write($("close"), "Close connection");
  $("details-body").hidden = $("close").disabled = false;
}

function showNothing({ id, slot }) {
  write($("details-title"), id == null ? describe(slot) : `Connection ${id}`);
  write($("why"), id == null ? "There is no connection in this slot." : "The connection has ended.");
  $("why").className = "";
  // The focus would be lost with the button.
  if ($("details-body").contains(document.activeElement)) $("details").focus();
  $("details-body").hidden = id == null || id !== details.shown;
  $("close").disabled = true;
  grid.chosen = slot ?? -1;
  if (details.isAsked) ask(false);
  details.query = null;
}

// The first press asks for a second one, in place.
function ask(isAsking) {
  details.isAsked = isAsking;
  write($("close"), isAsking ? `Really close connection ${details.id}?` : "Close connection");
  write($("close-result"), isAsking ? "Press again to close it, even in the middle of a transfer; Escape keeps it." : "");
}

async function closeConnection() {
  const { id } = details;
  ask(false);
  let result = "The server cannot be reached.";
  try {
    const { status } = await fetch(`connections/${id}`, { method: "DELETE", headers: { "X-Evserve-Token": token } });
    result = {
      204: `Connection ${id} was closed.`,
      404: `Connection ${id} had already ended.`,
      403: "The server was restarted after this page was loaded. Reload the page, then close the connection.",
    }[status] ?? `The server answered ${status}.`;
  } catch {}
  write($("close-result"), result);
  refreshDetails(true);
  if (!live.paused) refreshTable(true);
}

// A double click is no confirmation.
on("close", "click", ({ detail }) => (details.isAsked ? detail < 2 && closeConnection() : ask(true)));
on("close", "keydown", ({ key }) => key === "Escape" && ask(false));

// ---- Keys, time and the window

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select")) return;
  if (key === " " && !target.closest("button, a, summary") && live.frame) {
    event.preventDefault();
    pause(!live.paused);
  }
  if (key === "[") step(-1);
  if (key === "]") step(1);
});
on("pause", "click", () => pause(!live.paused));
on("step-back", "click", () => step(-1));
on("step-forward", "click", () => step(1));

function tick() {
  if (document.hidden || live.paused) return;
  showStatus();
  refreshTable(false);
  refreshDetails(false);
}

function repaint() {
  readColors([...phases].map(([letter, { item }]) => [letter, item]));
  for (const picture of all("canvas[data-cell]")) drawCell(picture, picture.dataset.cell);
  showTurns();
  layOut();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) disconnect();
  else if (!live.paused) connect();
  tick();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
addEventListener("resize", repaint);
repaint();
if (!document.hidden) connect();
tick();
setInterval(tick, 1000);
