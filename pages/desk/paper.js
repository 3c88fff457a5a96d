// ECG paper on a canvas. PAPER, defined before this, is geometry() of study/ecg_paper.py: no number of the paper stands here.
// Lengths are millimetres from the sheet's upper left corner, samples microvolts at PAPER.rate * PAPER.fine a second.

// A strip's counts, lead after lead in the order of PAPER.stored: Int16Array of 8 * 1000, from base64 of its little-endian bytes.
function decodeCounts(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Int16Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true));
}

// Each lead that a sheet can show, by name: Float64Array of 5000 microvolts, as microvolts() of study/ecg_paper.py gives them.
function leadsOf(counts) {
  const stored = PAPER.stored.map((_, i) => {
    const lead = Float64Array.from(counts.subarray(i * PAPER.samples, (i + 1) * PAPER.samples));
    return interpolated(lead.map((count) => count * PAPER.microvoltsPerCount));
  });
  const leads = {};
  for (const [name, weights] of Object.entries(PAPER.weights)) {
    const mixed = (leads[name] = new Float64Array(PAPER.samples * PAPER.fine));
    weights.forEach((weight, i) => {
      if (weight) stored[i].forEach((sample, at) => (mixed[at] += weight * sample));
    });
  }
  return leads;
}

// Polyphase interpolation through every stored sample; beyond its ends a lead goes on along the line from its first sample to its last.
function interpolated(stored) {
  const { fine, taps } = PAPER;
  const middle = (taps.length - 1) / 2;
  const reach = middle / fine;
  const last = stored.length - 1;
  const slope = (stored[last] - stored[0]) / last;
  const padded = new Float64Array(stored.length + 2 * reach);
  padded.set(stored, reach);
  for (let i = 1; i <= reach; i++) {
    padded[reach - i] = stored[0] - i * slope;
    padded[reach + last + i] = stored[last] + i * slope;
  }
  const drawn = new Float64Array(stored.length * fine);
  for (let at = 0; at <= last; at++) {
    drawn[at * fine] = stored[at];
    for (let phase = 1; phase < fine; phase++) {
      let sum = 0;
      for (let tap = phase, from = at + 2 * reach; tap < taps.length; tap += fine, from--) sum += taps[tap] * padded[from];
      drawn[at * fine + phase] = sum;
    }
  }
  return drawn;
}

// Where everything stands on a sheet: its width and height, and for each row its baseline and parts (a lead from so many seconds to so many, the first at x).
function sheetOf(layout, order, speed, gain) {
  const first = PAPER.first[speed];
  const rows = PAPER.rows[layout][order].map((names, row) => {
    const length = PAPER.seconds / names.length;
    const parts = names.map((lead, i) => ({ lead, from: i * length, to: (i + 1) * length, x: first + i * length * speed }));
    return { baseline: PAPER.baselines[layout][row], parts };
  });
  const pulse = { rise: PAPER.pulse.x, fall: PAPER.pulse.x + PAPER.pulse.seconds * speed, high: PAPER.pulse.millivolts * gain };
  const size = { width: PAPER.width[speed], height: PAPER.height[layout], first };
  return { layout, order, speed, gain, ...size, rows, pulse, nameAbove: PAPER.nameAbove[layout], footer: PAPER.footers[speed][gain] };
}

// What a point of the sheet means on the nearest row: numbers of row and part, lead, seconds, millivolts; null in the margins.
function placeAt(sheet, x, y) {
  const seconds = (x - sheet.first) / sheet.speed;
  if (!(seconds >= 0 && seconds <= PAPER.seconds && y >= 0 && y <= sheet.height)) return null;
  const away = sheet.rows.map(({ baseline }) => Math.abs(y - baseline));
  const row = away.indexOf(Math.min(...away));
  const { baseline, parts } = sheet.rows[row];
  const part = parts.findLastIndex(({ from }) => from <= seconds);
  return { row, part, lead: parts[part].lead, seconds, millivolts: (baseline - y) / sheet.gain };
}

// Draws a strip's sheet, true to scale: pixelsPerMm are CSS pixels, ratio is devicePixelRatio, colours are PAPER.colours.paper or .dark.
function paint(canvas, sheet, leads, pixelsPerMm, ratio, colours) {
  const scale = pixelsPerMm * ratio; // device pixels for a millimetre
  for (const side of ["width", "height"]) {
    canvas[side] = Math.round(Math.round(sheet[side] * pixelsPerMm) * ratio); // whole CSS pixels: no browser stretches those to fit its own
    canvas.style[side] = `${canvas[side] / ratio}px`;
  }
  const pen = canvas.getContext("2d", { alpha: false });
  pen.drawImage(gridOf(canvas, sheet, scale, colours), 0, 0);
  pen.scale(scale, scale);
  Object.assign(pen, { strokeStyle: colours.ink, fillStyle: colours.ink, lineWidth: Math.max(PAPER.stroke.trace, 1 / scale), lineJoin: "round" });
  paintTicksAndPulses(pen, sheet);
  for (const { baseline, parts } of sheet.rows) {
    for (const part of parts) paintTrace(pen, sheet, baseline, part, leads[part.lead]);
  }
  paintWords(pen, sheet, scale);
}

const GRIDS = new Map(); // of the last sizes and colours: a grid is drawn once

// The empty paper as a canvas of its own. Lines lie on whole device pixels, so that all are equally sharp, none half a pixel off its place.
function gridOf(canvas, { width, height }, scale, { ground, fine, bold }) {
  const key = [width, height, scale, canvas.width, canvas.height, ground, fine, bold].join();
  if (GRIDS.has(key)) return GRIDS.get(key);
  const grid = document.createElement("canvas");
  Object.assign(grid, { width: canvas.width, height: canvas.height });
  const pen = grid.getContext("2d", { alpha: false });
  pen.fillStyle = ground;
  pen.fillRect(0, 0, grid.width, grid.height);
  for (const [colour, step, stroke] of [[fine, PAPER.squares.fine, PAPER.stroke.fine], [bold, PAPER.squares.bold, PAPER.stroke.bold]]) {
    const thick = Math.max(1, Math.round(stroke * scale));
    const placed = (at, end) => Math.min(Math.max(0, Math.round(at * scale - thick / 2)), end - thick); // whole at the edges too
    pen.fillStyle = colour;
    for (let x = 0; x <= width; x += step) pen.fillRect(placed(x, grid.width), 0, thick, grid.height);
    for (let y = 0; y <= height; y += step) pen.fillRect(0, placed(y, grid.height), grid.width, thick);
  }
  if (GRIDS.size > 1) GRIDS.delete(GRIDS.keys().next().value);
  GRIDS.set(key, grid);
  return grid;
}

// A cart's ticks where leads of a row meet, and 1 mV for 200 ms before each row, with a foot on either side.
function paintTicksAndPulses(pen, { rows, pulse: { rise, fall, high } }) {
  const [near, far] = PAPER.tick;
  pen.beginPath();
  for (const { baseline, parts } of rows) {
    for (const { x } of parts.slice(1)) {
      for (const side of [-1, 1]) {
        pen.moveTo(x, baseline + side * near);
        pen.lineTo(x, baseline + side * far);
      }
    }
    pen.moveTo(rise - PAPER.pulse.foot, baseline);
    for (const [x, up] of [[rise, 0], [rise, high], [fall, high], [fall, 0], [fall + PAPER.pulse.foot, 0]]) pen.lineTo(x, baseline - up);
  }
  pen.stroke();
}

// One part of a lead: each of its samples a point, as on paper cut off at the sheet's edge.
function paintTrace(pen, { speed, gain }, baseline, { from, to, x }, microvolts) {
  const rate = PAPER.rate * PAPER.fine;
  const [first, end] = [Math.round(from * rate), Math.round(to * rate)];
  pen.beginPath();
  for (let i = first; i < end; i++) pen.lineTo(x + ((i - first) / rate) * speed, baseline - (microvolts[i] / 1000) * gain);
  pen.stroke();
}

// Lead names and footer, in device pixels: browsers round the widths of letters of a few pixels before they enlarge them.
function paintWords(pen, { rows, first, height, nameAbove, footer }, scale) {
  const { name, footer: foot, font } = PAPER;
  pen.resetTransform();
  pen.font = `bold ${name.size * scale}px ${font}`;
  for (const { baseline, parts } of rows) {
    for (const { lead, x } of parts) pen.fillText(lead, (x + name.right) * scale, (baseline - nameAbove + name.letters) * scale);
  }
  pen.font = `${foot.size * scale}px ${font}`;
  pen.fillText(footer, first * scale, (height - foot.up + foot.letters) * scale);
}
