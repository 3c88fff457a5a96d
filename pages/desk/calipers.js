// Calipers, march-out, QTc and marks: drawn over the paper in an SVG whose unit is the paper's millimetre.
const SVG = "http://www.w3.org/2000/svg";
const STEP = { ms: 10, mv: 0.05, far: 5 }; // of an arrow key; `far` times as much with Shift
const GRAB_MM = 2; // this near, a leg is taken up

const plainLead = (name) => name.replace("-", ""); // Cabrera's -aVR is lead aVR

class Calipers {
  // told(words for those who do not see the overlay), changed(): another mark, drawn(): after each drawing.
  constructor(svg, { told, changed, drawn }) {
    Object.assign(this, { svg, told, changed, drawn });
    this.counts = { calipers: 0, march_out: 0 };
    this.clear();
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (event) => this.up(event));
  }

  // Forgets everything: another strip.
  clear() {
    Object.assign(this, { tool: null, marching: false, qt: null, rr: null, marks: [], lead: null });
    this.letGo();
    this.counts = { calipers: 0, march_out: 0 };
  }

  // No legs, and none being placed.
  letGo() {
    Object.assign(this, { part: null, a: null, b: null, active: "b", placing: false, held: null, pressed: null, fromKeyboard: false, begun: false });
  }

  // The sheet that lies under the overlay.
  lay(sheet) {
    const seconds = (end) => end && end.seconds;
    const kept = [seconds(this.a), seconds(this.b)];
    this.sheet = sheet;
    if (this.part) { // speed, gain or layout have changed: the interval stays, where its lead is still shown
      const lead = plainLead(this.part.lead);
      const holds = (one) => plainLead(one.lead) === lead && kept.every((s) => s === undefined || s === null || (s >= one.from && s <= one.to));
      const long = (one) => one.to - one.from;
      const part = this.parts().filter(holds).sort((one, other) => (other.row === this.part.row) - (one.row === this.part.row) || long(other) - long(one))[0];
      const sign = part && part.lead !== this.part.lead ? -1 : 1; // -aVR is aVR the other way up
      const legs = ["a", "b"].map((name) => part && this[name] && this.at(part, this[name].seconds, sign * this[name].millivolts));
      if (!part || !legs[1]) this.letGo();
      else Object.assign(this, { part, a: legs[0], b: legs[1] });
    }
    const last = this.lead;
    this.lead = last && this.parts().find((one) => one.lead === last.lead && one.row === last.row) || null;
    this.svg.setAttribute("viewBox", `0 0 ${sheet.width} ${sheet.height}`);
    this.draw();
  }

  parts() {
    return this.sheet.rows.flatMap((row, index) => row.parts.map((part) => ({ ...part, row: index, baseline: row.baseline })));
  }

  at(part, seconds, millivolts) {
    const inside = Math.min(Math.max(seconds, part.from), part.to);
    return { seconds: inside, millivolts, x: part.x + (inside - part.from) * this.sheet.speed, y: part.baseline - millivolts * this.sheet.gain };
  }

  millimetres(event) {
    const box = this.svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.sheet.width, ((event.clientY - box.top) / box.height) * this.sheet.height];
  }

  // Where a pointer is: on which part, at which second and millivolt; null in the margins.
  point(event) {
    const [x, y] = this.millimetres(event);
    const found = placeAt(this.sheet, x, y);
    return found && { ...found, x, y, part: this.parts().filter((part) => part.row === found.row)[found.part] };
  }

  // Takes a tool up, or puts it down. byKey: with legs to begin with, on the chosen lead; the pointer brings its own.
  take(tool, byKey = false) {
    this.tool = this.tool === tool ? null : tool;
    const elsewhere = this.lead && this.part && (this.lead.row !== this.part.row || this.lead.x !== this.part.x);
    if (this.tool && byKey && (!this.b || elsewhere)) this.begin();
    this.draw();
  }

  // Legs for the arrow keys: at the beginning of the chosen lead.
  begin() {
    const part = this.lead || this.parts().at(-1);
    this.part = part;
    this.a = this.at(part, part.from + 0.5, 0);
    this.b = this.at(part, part.from + 1, 0);
    Object.assign(this, { active: "b", placing: false, fromKeyboard: false, begun: true });
  }

  down(event) {
    if (!this.tool || !event.isPrimary) return;
    const here = this.point(event);
    if (!here || !here.part) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    if (this.begun) this.letGo();
    const near = (leg) => leg && this.part && here.row === this.part.row && Math.abs(leg.x - here.x) < GRAB_MM;
    this.fromKeyboard = false;
    if (this.b && (near(this.a) || near(this.b))) this.held = near(this.b) ? "b" : "a";
    else if (this.placing) this.held = "b";
    else {
      this.part = here.part;
      this.a = this.at(this.part, here.seconds, here.millivolts);
      this.b = null;
      this.placing = true;
      this.held = "b";
      this.pressed = here;
      this.draw();
      return;
    }
    this.move(event);
  }

  move(event) {
    if (!this.tool || !(this.held || this.placing) || !event.isPrimary) return;
    const [x, y] = this.millimetres(event);
    this.drag({ seconds: this.part.from + (x - this.part.x) / this.sheet.speed, millivolts: (this.part.baseline - y) / this.sheet.gain });
  }

  drag(here) {
    const leg = this.held || "b";
    this[leg] = this.at(this.part, here.seconds, here.millivolts);
    this.active = leg;
    this.draw();
  }

  up(event) {
    if (!this.tool || !event.isPrimary) return;
    const pressed = this.pressed;
    this.pressed = null;
    this.held = null;
    if (!this.b || (pressed && Math.abs(this.b.x - this.a.x) < 1 && Math.abs(this.b.y - this.a.y) < 1)) return; // the first of two clicks
    if (!this.part) return;
    this.placing = false;
    this.measured();
  }

  measured() {
    if (this.tool === "mark") this.mark();
    else {
      this.counts.calipers += 1;
      this.say();
    }
    this.draw();
  }

  // An arrow key: moves the active leg. Returns whether there was one to move.
  nudge(across, up, far) {
    if (!this.tool) return false;
    if (!this.b) this.begin();
    const leg = this[this.active], times = far ? STEP.far : 1;
    this[this.active] = this.at(this.part, leg.seconds + (across * times * STEP.ms) / 1000, leg.millivolts + up * times * STEP.mv);
    if (!this.fromKeyboard) this.counts.calipers += 1;
    this.fromKeyboard = true;
    this.say();
    this.draw();
    this.bring();
    return true;
  }

  // What the keyboard moves stays in view.
  bring() {
    const moved = this.svg.querySelector(".leg.active, .lead");
    if (moved) moved.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  swap() {
    this.active = this.active === "a" ? "b" : "a";
    this.draw();
  }

  get ms() {
    return this.a && this.b ? Math.round(Math.abs(this.b.seconds - this.a.seconds) * 1000) : null;
  }

  march() {
    if (!this.ms) return;
    this.marching = !this.marching;
    if (this.marching) this.counts.march_out += 1;
    this.draw();
  }

  keep(what) {
    if (this.ms) this[what] = this.ms;
    this.draw();
  }

  // Corrected QT in ms: Bazett 1920, QT / sqrt(RR in s); Fridericia 1920, QT / cube root of RR.
  qtc() {
    if (!this.qt || !this.rr) return null;
    const rr = this.rr / 1000;
    return { bazett: Math.round(this.qt / Math.sqrt(rr)), fridericia: Math.round(this.qt / Math.cbrt(rr)) };
  }

  // The region between the legs becomes a mark: this is where the cue is.
  mark() {
    if (!this.ms) return;
    const times = [this.a.seconds, this.b.seconds].map((s) => Math.round(s * 1000));
    const mark = { lead: plainLead(this.part.lead), from_ms: Math.min(...times), to_ms: Math.max(...times) };
    if (mark.from_ms === mark.to_ms) return;
    this.marks.push(mark);
    this.letGo();
    this.tool = null;
    this.draw();
    this.told(`Marked ${mark.lead} from ${mark.from_ms} to ${mark.to_ms} milliseconds`);
    this.changed();
  }

  // Chooses the lead in a direction, for those who read by keyboard.
  choose(across, down) {
    const parts = this.parts();
    if (!this.lead) this.lead = parts[0];
    else {
      const { row, x } = this.lead;
      const rows = parts.filter((part) => part.row === (row + down + this.sheet.rows.length) % this.sheet.rows.length);
      const nearest = rows.reduce((best, part) => (Math.abs(part.x - x) < Math.abs(best.x - x) ? part : best));
      const place = rows.indexOf(nearest);
      this.lead = rows[(place + across + rows.length) % rows.length];
    }
    this.told(`Lead ${this.lead.lead}`);
    this.draw();
    this.bring();
  }

  words() {
    if (this.ms === null) return "";
    const mv = this.b.millivolts - this.a.millivolts;
    const rate = this.ms >= 200 ? `   ${Math.round(60000 / this.ms)} bpm` : "";
    return `${this.ms} ms${rate}   ${mv.toFixed(2).replace("-0.00", "0.00")} mV`;
  }

  say() {
    this.told(`${this.part.lead}: ${this.words()}`);
  }

  draw() {
    if (!this.sheet) return;
    const made = (name, attributes, text) => {
      const element = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text) element.textContent = text;
      return element;
    };
    const drawn = [];
    const apart = this.sheet.rows[1].baseline - this.sheet.rows[0].baseline, above = 0.55 * apart, below = 0.45 * apart;
    for (const mark of this.marks) {
      for (const part of this.parts()) {
        const from = Math.max(mark.from_ms / 1000, part.from), to = Math.min(mark.to_ms / 1000, part.to);
        if (plainLead(part.lead) !== mark.lead || from >= to) continue;
        const x = part.x + (from - part.from) * this.sheet.speed;
        drawn.push(made("rect", { class: "mark", x, y: part.baseline - above, width: (to - from) * this.sheet.speed, height: above + below }));
      }
    }
    if (this.lead) {
      const width = (this.lead.to - this.lead.from) * this.sheet.speed;
      drawn.push(made("rect", { class: "lead", x: this.lead.x, y: this.lead.baseline - above, width, height: above + below }));
    }
    if (this.a && this.part) {
      const top = this.part.baseline - above - 1, bottom = this.part.baseline + below + 1;
      const legs = this.b ? [["a", this.a], ["b", this.b]] : [["a", this.a]];
      for (const [name, leg] of legs) {
        drawn.push(made("line", { class: name === this.active ? "leg active" : "leg", x1: leg.x, x2: leg.x, y1: top, y2: bottom }));
        drawn.push(made("line", { class: "level", x1: leg.x - 2, x2: leg.x + 2, y1: leg.y, y2: leg.y }));
      }
      if (this.b) {
        drawn.push(made("line", { class: "span", x1: this.a.x, x2: this.b.x, y1: top + 1, y2: top + 1 }));
        const step = Math.abs(this.b.x - this.a.x);
        if (this.marching && step >= 1) {
          const first = Math.min(this.a.x, this.b.x), end = this.part.x + (this.part.to - this.part.from) * this.sheet.speed;
          for (let x = first - Math.floor((first - this.part.x) / step) * step; x <= end + 0.01; x += step)
            drawn.push(made("line", { class: "march", x1: x, x2: x, y1: top, y2: bottom }));
        }
        const middle = (this.a.x + this.b.x) / 2, x = Math.min(Math.max(middle, 32), this.sheet.width - 32);
        drawn.push(made("text", { class: "words", x, y: Math.max(top - 0.6, 4) }, this.words()));
      }
    }
    this.svg.replaceChildren(...drawn);
    this.svg.classList.toggle("measuring", Boolean(this.tool));
    this.drawn();
  }
}
