// The pictures of the inspector: the cells of the slab, and the strip of the last turns.

const colors = {};
const tones = new Map();
const sprites = new Map();

// Reads the colors of the page, and those of the phases from the elements in `phases`, by letter.
export function readColors(phases) {
  const read = (from, name) => getComputedStyle(from).getPropertyValue(name).trim();
  for (const name of ["raised", "line", "ink", "soft", "faint", "poll", "ready", "drive", "bad", "on-badge"]) {
    colors[name] = read(document.documentElement, `--${name}`);
  }
  for (const [letter, element] of phases) tones.set(letter, read(element, "--tone"));
  sprites.clear();
}

// Fits a canvas to its size on the screen and clears it.
export function fit(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return { context, width, height };
}

// ---- Cells

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
const TLS_CORNER = [[0.56, -0.1], [1.1, -0.1], [1.1, 0.44]];

// Returns the picture of a cell: its protocol is the shape, a corner is TLS, its phase is color and letter.
function sprite(protocol, phase, size) {
  const key = protocol + phase + size;
  if (!sprites.has(key)) sprites.set(key, drawSprite(protocol, phase, size));
  return sprites.get(key);
}

function drawSprite(protocol, phase, size) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const context = canvas.getContext("2d");
  const shape = SHAPES[protocol.toLowerCase()];
  if (!shape) {
    const [inset, side] = [Math.floor(size * 0.4), Math.ceil(size * 0.2)];
    context.fillStyle = colors.faint;
    context.fillRect(inset, inset, side, side);
    return canvas;
  }
  const trace = (points, color) => {
    context.strokeStyle = context.fillStyle = color;
    context.beginPath();
    for (const [x, y] of points) context.lineTo(size * (0.09 + 0.82 * x), size * (0.09 + 0.82 * y));
    context.closePath();
  };
  const tone = tones.get(phase);
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
    trace(TLS_CORNER, colors.ink);
    context.fill();
  }
  return canvas;
}

// Draws one cell, given as the letters of protocol and phase.
export function drawCell(canvas, [protocol, phase]) {
  const { context, width } = fit(canvas);
  context.drawImage(sprite(protocol, phase, canvas.width), 0, 0, width, width);
}

// Draws the part of the slab that begins `top` pixels below its first row: the changed cells, or all of them. `rings`
// has slots that are framed, each with the name of a color.
export function drawSlab(canvas, { protocols, phases, size, columns }, top, rings, isChanged) {
  const context = canvas.getContext("2d");
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
  // Thin, so that a corner for TLS stays visible.
  context.lineWidth = Math.ceil(size / 16);
  for (const [slot, color] of rings) {
    const [x, y] = place(slot);
    for (const [lines, tone] of [[1.5, colors.raised], [0.5, colors[color]]]) {
      const inset = lines * context.lineWidth;
      context.strokeStyle = tone;
      context.strokeRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    }
  }
}

// ---- The strip of turns

const BAR = 6;
// The corners of the strip are round.
const MARGIN = 8;

// Returns how many turns the strip has room for.
export function barsIn(canvas) {
  return Math.max(1, Math.floor((canvas.clientWidth - 2 * MARGIN) / BAR));
}

// Returns the number of the bar at `x`, from 1 for the last one.
export function barAt(canvas, x) {
  return Math.ceil((canvas.clientWidth - MARGIN - x) / BAR);
}

// Returns the share of a value in `most`, on a logarithmic scale.
const part = (value, most) => Math.min(1, Math.log1p(value) / Math.log1p(most));

// Draws time working above an axis and time polling below it, from 1 µs to 1 s, and the events at the bottom. `marked`
// is the index of a turn that is marked.
export function drawStrip(canvas, turns, marked) {
  const { context, width, height } = fit(canvas);
  const axis = Math.round(height / 2);
  const above = (work) => part(work, 1e6) * (axis - 16);
  const rectangle = (color, ...place) => {
    context.fillStyle = colors[color];
    context.fillRect(...place);
  };
  turns.forEach(([, events, , poll, work, budget], index) => {
    const x = width - MARGIN - (turns.length - index) * BAR;
    const dots = part(events, 512) * (height * 0.16 - 6);
    if (index === marked) {
      rectangle("line", x - 2, 0, BAR + 3, height);
      rectangle("ink", x - 2, height - 3, BAR + 3, 3);
    }
    rectangle("drive", x, axis - above(work), BAR - 1, above(work));
    rectangle("poll", x, axis + 1, BAR - 1, part(poll, 1e6) * height * 0.3);
    rectangle("ready", x, height - 5 - dots, BAR - 1, dots);
    // A triangle marks a turn in which a budget was used up.
    for (let row = 0; row < 4 && budget > 0; row += 1) rectangle("bad", x + row - 1, 3 + 2 * row, 7 - 2 * row, 2);
  });
  rectangle("soft", 0, axis, width, 1);
  context.font = "11px sans-serif";
  for (const [text, work] of [["100 µs", 100], ["50 ms: stall", 50_000]]) {
    const y = Math.round(axis - above(work));
    rectangle("faint", 0, y, width, 1);
    rectangle("raised", 4, y - 13, context.measureText(text).width + 4, 13);
    context.fillStyle = colors.soft;
    context.fillText(text, 6, y - 3);
  }
}
