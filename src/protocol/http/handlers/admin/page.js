// The inspector: the frames of /events, a table of connections from /loop.json, and one connection in detail.
"use strict";

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

function micros(value) {
  if (value < 1000) return `${number(value)} µs`;
  return value < 999_950 ? `${number(value / 1000)} ms` : `${number(value / 1e6)} s`;
}

function millis(value) {
  if (value < 60_000) return micros(value * 1000);
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

// ---- The legend, and the pictures of cells

const legend = all(".legend li").map((item) => ({
  ...item.dataset, item, group: item.className, name: item.querySelector("span").textContent,
}));
const phases = new Map(legend.filter(({ phase }) => phase).map((entry) => [entry.letter, entry]));
const protocols = new Map(legend.filter(({ phase }) => !phase).map((entry) => [entry.letter, entry.name]));
const groups = new Map([...phases.values()].map(({ phase, group }) => [phase, group]));
const colors = {};
const sprites = new Map();

// The outline of each protocol, in a unit square.
const angles = Array.from({ length: 24 }, (_, index) => (index * Math.PI) / 12);
const SHAPES = {
  h: [[0.06, 0.06], [0.94, 0.06], [0.94, 0.94], [0.06, 0.94]],
  f: angles.map((angle) => [0.5 + Math.cos(angle) / 2, 0.5 + Math.sin(angle) / 2]),
  a: [[0.5, -0.04], [1.04, 0.5], [0.5, 1.04], [-0.04, 0.5]],
  d: [[0.04, 0.04], [0.96, 0.04], [0.96, 0.62], [0.5, 1], [0.04, 0.62]],
  l: [[0.5, 0.04], [1, 0.94], [0, 0.94]],
  u: [[0, 0.06], [1, 0.06], [0.5, 0.96]],
};

function readColors() {
  const read = (from, name) => getComputedStyle(from).getPropertyValue(name).trim();
  for (const name of ["raised", "line", "ink", "soft", "faint", "poll", "ready", "drive", "bad", "on-badge"]) {
    colors[name] = read(document.documentElement, `--${name}`);
  }
  for (const entry of phases.values()) entry.tone = read(entry.item, "--tone");
  sprites.clear();
}

// Returns the picture of a cell: its protocol is the shape, a corner is TLS, its phase is color and letter.
function sprite(protocol, phase, size) {
  const key = protocol + phase + size;
  if (!sprites.has(key)) sprites.set(key, drawSprite(protocol, phase, size));
  return sprites.get(key);
}

function drawSprite(protocol, phase, size) {
  const canvas = element("canvas", { width: size, height: size });
  const context = canvas.getContext("2d");
  const shape = SHAPES[protocol.toLowerCase()];
  if (!shape) {
    context.fillStyle = colors.faint;
    context.fillRect(Math.floor(size * 0.4), Math.floor(size * 0.4), Math.ceil(size * 0.2), Math.ceil(size * 0.2));
    return canvas;
  }
  const trace = (points, color) => {
    context.strokeStyle = context.fillStyle = color;
    context.beginPath();
    for (const [x, y] of points) context.lineTo(size * (0.09 + 0.82 * x), size * (0.09 + 0.82 * y));
    context.closePath();
  };
  const tone = phases.get(phase)?.tone;
  context.lineWidth = Math.max(1, size / 14);
  trace(shape, tone ?? colors.soft);
  context.stroke();
  // An idle connection is hollow, so that the others stand out.
  if (tone && phase !== "i") {
    context.fill();
    context.fillStyle = colors["on-badge"];
  }
  context.font = `700 ${Math.round(size * 0.6)}px ui-monospace, monospace`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  if (tone) context.fillText(phase.toUpperCase(), size / 2, size * 0.53);
  if (protocol >= "A" && protocol <= "Z") {
    trace([[0.56, -0.1], [1.1, -0.1], [1.1, 0.44]], colors.ink);
    context.fill();
  }
  return canvas;
}

// Fits a canvas to its size on the screen and clears it.
function fit(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return { context, width, height };
}

function drawLegend() {
  for (const canvas of all("canvas[data-cell]")) {
    const { context, width } = fit(canvas);
    context.drawImage(sprite(...canvas.dataset.cell, canvas.width), 0, 0, width, width);
  }
}

// ---- The stream of frames

const live = { source: null, paused: false, timer: 0, at: 0, frame: null, queued: false, drawn: 0 };
const samples = [];
let turns = [];
let chosen = -1;

function connect() {
  disconnect();
  samples.length = 0;
  const source = (live.source = new EventSource("events"));
  source.addEventListener("frame", (event) => receive(JSON.parse(event.data)));
  source.addEventListener("open", showStatus);
  source.addEventListener("error", () => {
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
  const rate = (read) => (read(last) - read(first)) / seconds;
  const { requests, accepted, received_bytes, sent_bytes } = last.counters;
  const names = Object.keys({ requests, accepted, received_bytes, sent_bytes });
  const growth = names.map((name) => [name, rate(({ counters }) => counters[name])]);
  return { ...Object.fromEntries(growth), busy: Math.min(100, rate(({ turns: { work_us } }) => work_us) / 1e4) };
}

function showStatus() {
  const isOpen = live.source?.readyState === EventSource.OPEN;
  const state = live.paused ? "paused" : isOpen ? "live" : live.frame ? "disconnected" : "connecting";
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
  const hit_rate = cache?.hits ? (100 * cache.hits) / (cache.hits + cache.misses) : null;
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
  showBars(id, sentence, counts.map((count, index) => [name(index), count]));
}

function showTimers({ count, next_ms, due }) {
  const names = { "1s": "within 1 s", "10s": "within 10 s", "60s": "within 60 s", later: "later" };
  const sentence = count ? `${plural(count, "timer")}, the next in ${millis(next_ms ?? 0)}` : "No timer is set.";
  showBars("timers", sentence, Object.entries(due).map(([key, value]) => [names[key] ?? key, value]));
}

// ---- Turns

const BAR = 6;

function showTurns() {
  const index = live.paused ? chosen : turns.length - 1;
  drawStrip(index);
  if (index < 0) return;
  const [turn, events, driven, poll, work, budget] = turns[index];
  write($("turn-title"), `Turn ${number(turn)}`);
  fill("turn", { events, driven, poll, work, budget });
  const place = `${number(index + 1)} of the last ${plural(turns.length, "turn")}`;
  write($("turn-note"), live.paused ? place : "The newest turn. Pause to step through the last ones.");
}

// Returns the range of turns that the strip shows; the chosen one is in it.
function visibleTurns() {
  const room = Math.max(1, Math.floor($("turns").clientWidth / BAR));
  const last = live.paused ? Math.min(turns.length, Math.max(chosen + Math.ceil(room / 4), room)) : turns.length;
  return [Math.max(0, last - room), last];
}

// Draws time working above an axis and time polling below it, from 1 µs to 1 s, and the events at the bottom.
function drawStrip(index) {
  const { context, width, height } = fit($("turns"));
  const axis = Math.round(height / 2);
  const part = (value, most) => Math.min(1, Math.log1p(value) / Math.log1p(most));
  const above = (work) => part(work, 1e6) * (axis - 16);
  const rectangle = (color, ...place) => {
    context.fillStyle = color;
    context.fillRect(...place);
  };
  const [first, last] = visibleTurns();
  for (let at = first; at < last; at += 1) {
    const [, events, , poll, work, budget] = turns[at];
    const x = width - (last - at) * BAR;
    const dots = part(events, 512) * (height * 0.16 - 6);
    if (live.paused && at === index) {
      rectangle(colors.line, x - 2, 0, BAR + 3, height);
      rectangle(colors.ink, x - 2, height - 3, BAR + 3, 3);
    }
    rectangle(colors.drive, x, axis - above(work), BAR - 1, above(work));
    rectangle(colors.poll, x, axis + 1, BAR - 1, part(poll, 1e6) * height * 0.3);
    rectangle(colors.ready, x, height - 5 - dots, BAR - 1, dots);
    // A triangle marks a turn in which a budget was used up.
    for (let row = 0; row < 4 && budget > 0; row += 1) rectangle(colors.bad, x + row - 1, 3 + 2 * row, 7 - 2 * row, 2);
  }
  rectangle(colors.soft, 0, axis, width, 1);
  context.font = "11px sans-serif";
  for (const [text, work] of [["100 µs", 100], ["50 ms: stall", 50_000]]) {
    const y = Math.round(axis - above(work));
    rectangle(colors.faint, 0, y, width, 1);
    rectangle(colors.raised, 4, y - 13, context.measureText(text).width + 4, 13);
    context.fillStyle = colors.soft;
    context.fillText(text, 6, y - 3);
  }
}

on("turns", "click", ({ offsetX }) => {
  if (!live.frame) return;
  const [first, last] = visibleTurns();
  if (!live.paused) pause(true);
  const index = last - Math.ceil(($("turns").clientWidth - offsetX) / BAR);
  chosen = Math.max(first, Math.min(last - 1, index));
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
  const { size, columns, protocols, phases } = grid;
  const context = canvas.getContext("2d");
  const top = Math.round(scroller.scrollTop * devicePixelRatio);
  const place = (slot) => [(slot % columns) * size, Math.floor(slot / columns) * size - top];
  const end = Math.min(protocols.length, Math.ceil((top + canvas.height) / size) * columns);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = colors.raised;
  // The last row may end before the others.
  if (!isChanged) context.clearRect(0, 0, canvas.width, canvas.height);
  for (let slot = Math.floor(top / size) * columns; slot < end; slot += 1) {
    if (isChanged && !isChanged(slot)) continue;
    context.fillRect(...place(slot), size, size);
    context.drawImage(sprite(protocols[slot], phases[slot], size), ...place(slot));
  }
  const line = Math.ceil(size / 12);
  const ring = (slot, color) => {
    const [x, y] = place(slot);
    for (const [inset, tone] of [[1.5, colors.raised], [0.5, color]]) {
      context.strokeStyle = tone;
      context.lineWidth = line;
      context.strokeRect(x + inset * line, y + inset * line, size - 2 * inset * line, size - 2 * inset * line);
    }
  };
  if (grid.chosen >= 0) ring(grid.chosen, colors.ink);
  if (document.activeElement === canvas) ring(grid.cursor, colors.poll);
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
  readColors();
  drawLegend();
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
