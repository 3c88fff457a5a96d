// The reading desk: one strip on paper, the form, and an answer that is kept in this browser until the server says that it is stored.
const AGAIN_MS = 3000; // so long without the server's word, an answer is sent again
const ZOOMS = [1, 1.5, 2, 3];
const CSS_PIXELS_PER_MM = 96 / 25.4; // on a screen that was never calibrated

class Desk {
  constructor(root) {
    this.root = root;
    this.sheet = { ...PAPER.default };
    this.zoom = 1;
    this.build();
    this.onKey = (event) => this.key(event);
    this.onLife = () => this.clock && this.clock.tick();
    this.onResize = () => this.place !== undefined && this.paint();
    window.addEventListener("keydown", this.onKey, true);
    document.addEventListener("visibilitychange", this.onLife);
    for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) window.addEventListener(kind, this.onLife, { passive: true });
    window.addEventListener("resize", this.onResize);
  }

  leave() {
    window.removeEventListener("keydown", this.onKey, true);
    document.removeEventListener("visibilitychange", this.onLife);
    for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) window.removeEventListener(kind, this.onLife);
    window.removeEventListener("resize", this.onResize);
    clearTimeout(this.waiting);
  }

  // ---- what stands on the desk ----

  build() {
    const tool = (label, letter, act, more = {}) => el("button", { type: "button", class: "tool", onclick: act, ...more }, label, key(letter));
    const select = (label, name, values, words) => {
      const options = values.map((value) => el("option", { value }, words ? words(value) : String(value)));
      const chosen = el("select", { name, "aria-label": label, onchange: () => this.set(name, chosen.value) }, ...options);
      return (this.selects[name] = chosen);
    };
    this.selects = {};
    this.tools = {
      calipers: tool("Calipers", "C", () => this.measure("calipers"), { "aria-pressed": "false" }),
      march: tool("March out", "M", () => this.calipers.march()),
      qt: tool("QT", "E", () => this.calipers.keep("qt")),
      rr: tool("RR", "H", () => this.calipers.keep("rr")),
      mark: tool("Mark", "X", () => this.markRegion(), { "aria-pressed": "false" }),
    };
    this.qtc = el("output", { class: "qtc" });
    this.scaleButton = tool("True scale", "0", () => this.trueScale(), { hidden: true });
    this.screenButton = tool("", "G", () => this.calibrate());
    this.pdf = el("a", { class: "tool", target: "_blank", rel: "noopener", onclick: () => { this.printed += 1; } }, "PDF", key("F"));
    const bar = el("div", { class: "tools", role: "toolbar", "aria-label": "The sheet" },
      select("Layout", "layout", PAPER.layouts), select("Order of the limb leads", "order", PAPER.orders),
      select("Paper speed", "speed", PAPER.speeds, (value) => `${value} mm/s`), select("Gain", "gain", PAPER.gains, (value) => `${value} mm/mV`),
      ...Object.values(this.tools), this.qtc, el("span", { class: "space" }), this.scaleButton,
      tool("Larger", "+", () => this.zoomBy(1)), tool("Break", "B", () => this.pause(true)), this.pdf,
      this.screenButton, tool("Keys", "?", () => this.help.showModal()));
    this.title = el("div", { class: "title" });
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("class", "overlay");
    this.cover = el("div", { class: "cover", hidden: true }, el("p", {}, "A break. The strip is covered and the clock stands."),
      el("button", { type: "button", class: "submit", onclick: () => this.pause(false) }, "Go on", key("Enter")));
    this.stage = el("div", { class: "stage", role: "img" }, this.canvas, this.svg);
    this.scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "ECG paper" }, this.stage);
    this.calipers = new Calipers(this.svg, (words) => { this.live.textContent = words; });
    this.calipers.changed = () => this.draft();
    this.calipers.onDraw = () => this.showTools();
    this.form = new Form(() => this.draft());
    this.form.box.addEventListener("change", () => this.draft());
    this.form.box.addEventListener("input", () => this.draft());
    this.form.box.addEventListener("pointerdown", () => { this.byPointer = true; });
    this.form.box.addEventListener("click", ({ target }) => { // the pointer's focus must not turn arrow keys into answers
      if (this.byPointer && (target.type === "radio" || target.tagName === "BUTTON")) target.blur();
    });
    this.submitButton = el("button", { type: "button", class: "submit", onclick: () => this.submit() }, "Submit", key("Enter"));
    this.backButton = el("button", { type: "button", class: "plain", onclick: () => this.send("back", this.place) }, "Case before", key("\u232b"));
    this.status = el("p", { class: "status", role: "status" });
    this.live = el("p", { class: "unseen", "aria-live": "polite" });
    this.lesson = el("section", { class: "lesson", hidden: true, "aria-live": "polite" });
    this.form.end = el("div", { class: "end" }, this.status, this.backButton, this.submitButton);
    this.below = this.form.box;
    this.box = el("div", { class: "desk" }, this.title, bar, el("div", { class: "paper" }, this.scroll, this.cover), this.lesson, this.below, this.live, (this.help = keysDialog()), (this.card = cardDialog((pixels) => this.calibrated(pixels))));
    this.root.replaceChildren(this.box);
  }

  shadow() {
    return this.root.getRootNode();
  }

  // ---- a case comes in ----

  show(data, send) {
    this.send = send;
    if (this.behind(data)) return;
    this.data = data;
    this.scales = data.scales;
    if (data.place !== this.place) this.lay();
    this.tell(data);
  }

  // Whether the screen was drawn before the desk went on by itself.
  behind(data) {
    const now = this.data;
    return now && !now.given && !data.given && data.stored.prefix === now.stored.prefix && data.done < now.done + Number(Boolean(now.lesson));
  }

  // Another case: its strip at once, then the form with the draft that may be there.
  lay() {
    const { data } = this;
    Kept.forget(data.reader, data.place, data.stored);
    this.place = data.place;
    this.saving = null;
    clearTimeout(this.waiting);
    const draft = Kept.draft(data.reader, data.place), answer = (draft && draft.answer) || data.given || {};
    this.leads = leadsOf(decodeCounts(data.counts));
    Object.assign(this.sheet, { speed: PAPER.default.speed, gain: PAPER.default.gain }); // layout and order are the reader's habit
    Object.assign(this, { zoom: 1, changes: [], magnified: 0, printed: 0 });
    this.calipers.clear();
    this.calipers.marks = answer.marks || [];
    this.clock = new Clock(draft ? draft.reading_ms : 0, draft ? draft.away_ms : 0);
    this.cover.hidden = true;
    this.scroll.scrollTo(0, 0);
    this.paint();
    this.began = performance.now();
    this.form.show(data.questions, answer);
    this.status.textContent = "";
    this.submitButton.disabled = false;
    this.submitButton.firstChild.textContent = data.given ? "Store the correction" : "Submit";
    this.backButton.hidden = !data.before;
    this.pdf.hidden = !data.pdf;
    this.showMarks();
    if (draft && draft.sent) this.submit();
    if (!this.scale().calibrated && !this.asked) {
      this.asked = true;
      if (!Kept.get("card asked")) this.calibrate();
    }
    this.box.dataset.painted = data.place;
  }

  tell({ title, study, demo, done, total, lesson }) {
    const bar = el("progress", { max: String(total), value: String(done), "aria-label": `${done} of ${total} cases read` });
    const leave = el("button", { type: "button", class: "plain", title: "Your submitted answers are stored. You continue at this case.", onclick: () => this.send("leave", this.place) }, "Leave");
    this.title.replaceChildren(el("strong", {}, title), bar, el("span", {}, study), demo ? el("span", { class: "demo" }, demo) : null, el("span", { class: "space" }), leave);
    this.stage.setAttribute("aria-label", `12-lead ECG, ${title}, ${this.words()}`);
    this.lesson.hidden = !lesson;
    this.below.hidden = Boolean(lesson);
    if (lesson) this.lesson.replaceChildren(...lesson.lines.map((line) => el("p", {}, line)), el("button", { type: "button", class: "submit", onclick: () => this.next() }, lesson.next, key("Enter")));
  }

  next() {
    this.send("onward", this.place);
  }

  // ---- the sheet ----

  scale() {
    const ratio = window.devicePixelRatio || 1, stored = this.scales[Kept.screen()];
    return { ratio, calibrated: Boolean(stored), pixelsPerMm: stored ? stored / ratio : CSS_PIXELS_PER_MM };
  }

  words() {
    return `${this.sheet.speed} mm/s, ${this.sheet.gain} mm/mV`;
  }

  paint() {
    const { ratio, pixelsPerMm, calibrated } = this.scale(), { layout, order, speed, gain } = this.sheet;
    const sheet = sheetOf(layout, order, speed, gain), dark = this.dark();
    paint(this.canvas, sheet, this.leads, pixelsPerMm * this.zoom, ratio, dark ? PAPER.colours.dark : PAPER.colours.paper);
    for (const side of ["width", "height"]) this.svg.style[side] = this.stage.style[side] = this.canvas.style[side];
    this.box.classList.toggle("night", dark);
    this.calipers.lay(sheet);
    for (const [name, chosen] of Object.entries(this.selects)) chosen.value = String(this.sheet[name]);
    this.scaleButton.hidden = this.zoom === 1;
    this.screenButton.firstChild.textContent = calibrated ? "Screen" : "Bring to true scale";
    this.screenButton.classList.toggle("call", !calibrated);
    const asked = new URLSearchParams({ ...this.data.pdf, layout, order, speed, gain, paper: /^en-(US|CA)/.test(navigator.language) ? "Letter" : "A4" });
    this.pdf.href = `/strip.pdf?${asked}`;
  }

  dark() {
    const chosen = Kept.get("paper");
    if (chosen) return chosen === "dark";
    const ground = getComputedStyle(this.box).getPropertyValue("--st-background-color").trim();
    const [r, g, b] = (ground.match(/^#(..)(..)(..)/) || [0, "ff", "ff", "ff"]).slice(1).map((part) => parseInt(part, 16));
    return r + g + b < 384;
  }

  set(name, value) {
    this.sheet[name] = ["speed", "gain"].includes(name) ? Number(value) : value;
    this.change(name, this.sheet[name]);
    this.paint();
  }

  cycle(name, values, step) {
    const at = values.indexOf(this.sheet[name]) + step;
    this.set(name, values[["layout", "order"].includes(name) ? (at + values.length) % values.length : Math.min(Math.max(at, 0), values.length - 1)]);
  }

  change(what, to) {
    this.changes.push({ at_ms: Math.round(performance.now() - this.began), what, to });
  }

  zoomBy(step) {
    const at = Math.min(Math.max(ZOOMS.indexOf(this.zoom) + step, 0), ZOOMS.length - 1);
    if (ZOOMS[at] > this.zoom) this.magnified += 1;
    this.zoom = ZOOMS[at];
    this.change("zoom", this.zoom);
    this.paint();
    const chosen = this.svg.querySelector(".leg.active, .lead");
    if (chosen) chosen.scrollIntoView({ block: "center", inline: "center" });
  }

  trueScale() {
    if (this.zoom !== 1) this.zoomBy(-ZOOMS.length);
  }

  pause(paused) {
    if (this.lesson.hidden === false) return;
    this.clock.pause(paused);
    this.cover.hidden = !paused;
    this.scroll.inert = this.below.inert = paused;
    if (paused) this.cover.querySelector("button").focus();
    else this.shadow().activeElement?.blur();
  }

  measure(tool) {
    this.calipers.take(tool);
  }

  markRegion() {
    if (!this.data.questions.includes("marks")) return;
    if (this.calipers.tool === "calipers" && this.calipers.b) this.calipers.mark();
    else this.calipers.take("mark");
  }

  showTools() {
    const { tool, b } = this.calipers, qtc = this.calipers.qtc(), { qt, rr } = this.calipers;
    this.tools.calipers.setAttribute("aria-pressed", String(tool === "calipers"));
    this.tools.mark.setAttribute("aria-pressed", String(tool === "mark"));
    this.tools.mark.hidden = !(this.data && this.data.questions.includes("marks"));
    for (const name of ["march", "qt", "rr"]) this.tools[name].hidden = !(tool === "calipers" && b);
    const known = [qt && `QT ${qt} ms`, rr && `RR ${rr} ms`, qtc && `QTc ${qtc.bazett} ms (Bazett), ${qtc.fridericia} ms (Fridericia)`];
    this.qtc.textContent = known.filter(Boolean).join("   ");
    this.showMarks();
  }

  showMarks() {
    this.form.showMarks(this.calipers.marks, (i) => {
      this.calipers.marks.splice(i, 1);
      this.calipers.draw();
      this.draft();
    });
  }

  // ---- true scale ----

  calibrate() {
    Kept.set("card asked", "yes");
    this.card.ask(this.scale().pixelsPerMm);
  }

  calibrated(cssPixelsPerMm) {
    const pixels = cssPixelsPerMm * (window.devicePixelRatio || 1);
    this.scales = { ...this.scales, [Kept.screen()]: pixels };
    this.paint();
    this.send("calibrated", { screen: Kept.screen(), pixels_per_mm: pixels });
  }

  // ---- answers: kept here until they are stored there ----

  answer() {
    return { ...this.form.answer(), marks: this.data.questions.includes("marks") ? this.calipers.marks : [] };
  }

  viewing() {
    const { ratio, calibrated, pixelsPerMm } = this.scale();
    const { calipers, march_out } = this.calipers.counts;
    return {
      ...this.clock.times(), ...this.sheet, zoom: this.zoom, calibrated, pixels_per_mm: pixelsPerMm * ratio * this.zoom,
      screen: `${screen.width}x${screen.height}x${ratio}`, changes: this.changes, calipers, march_out, magnifier: this.magnified, printed: this.printed,
    };
  }

  submit() {
    if (this.saving || this.lesson.hidden === false || !this.cover.hidden) return;
    const missing = this.form.missing();
    if (missing.length) {
      this.say(`Not submitted yet. Still to answer: ${missing.join(", ")}.`);
      return;
    }
    this.saving = { place: this.place, answer: this.answer(), viewing: this.viewing() };
    this.submitButton.disabled = true;
    this.draft(true);
    this.sendAgain();
  }

  // Until the server has said that it is stored; it may well be sent twice, and is stored once.
  async sendAgain() {
    const sent = this.saving, late = new AbortController();
    const timer = setTimeout(() => late.abort(), AGAIN_MS);
    try {
      const answer = await fetch("/answer", { method: "POST", body: JSON.stringify(sent), headers: { "content-type": "application/json" }, signal: late.signal });
      if (sent !== this.saving) return;
      if (answer.status === 401) return this.later("Not stored yet: you are signed out. Sign in again in another window; your answer is kept in this browser and is sent then.");
      if (!answer.ok) return this.later(`Not stored yet: the server says ${answer.status}. Your answer is kept in this browser and is sent again.`);
      this.taken(await answer.json());
    } catch {
      if (sent === this.saving) this.later("Not stored yet: the server does not answer. Your answer is kept in this browser and is sent again until it is stored.");
    } finally {
      clearTimeout(timer);
    }
  }

  later(words) {
    this.say(words);
    this.waiting = setTimeout(() => this.sendAgain(), AGAIN_MS / 3);
  }

  // The server's word on an answer: refused, or stored, and then the next case is with it.
  taken({ problem, notice, done, case: next }) {
    const corrected = this.data.given;
    this.saving = null;
    this.submitButton.disabled = false;
    if (problem) {
      this.draft();
      return this.say(problem);
    }
    if (done || corrected) {
      if (done) Kept.forget(this.data.reader, "", { ...this.data.stored, before: Infinity });
      else Kept.drop(this.data.reader, this.place);
      return this.send("onward", this.place);
    }
    this.show(next, this.send);
    if (notice) this.say(notice);
  }

  say(words) {
    this.status.textContent = words;
  }

  draft(sent = false) {
    if (this.saving && !sent) return;
    Kept.setDraft(this.data.reader, this.place, { answer: this.answer(), ...this.clock.times(), sent });
  }

  // ---- keys ----

  key(event) {
    this.byPointer = false;
    if (!this.root.isConnected || event.altKey || event.metaKey || this.help.open || this.card.open) return;
    const at = event.composedPath()[0], inside = event.composedPath().includes(this.root);
    if (!inside && at !== document.body && at !== document.documentElement && at.closest?.("input, textarea, select, button, a, [role=dialog]")) return;
    if (at.tagName === "TEXTAREA") {
      if (event.key === "Escape") at.blur();
      else if (event.key === "Enter" && event.ctrlKey) this.submit();
      else return event.stopPropagation();
      return this.consume(event);
    }
    if (event.ctrlKey) return;
    if (this.act(event, at)) this.consume(event);
  }

  consume(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  act(event, at) {
    const { key: pressed } = event, letter = pressed.toLowerCase(), lesson = !this.lesson.hidden;
    const pressable = ["BUTTON", "A", "SELECT"].includes(at.tagName);
    if (!this.cover.hidden) return ["Enter", "b", "Escape"].includes(pressed) ? (this.pause(false), true) : pressed !== "Tab";
    if (pressed === "Enter") return !pressable && (lesson ? this.next() : this.submit(), true);
    if (pressed === "?") return this.help.showModal(), true;
    if (pressed === "Escape") return this.calipers.tool ? this.calipers.take(this.calipers.tool) : at.blur?.(), true;
    if (at.tagName === "SELECT" && /^(Arrow|Home|End|Page)|^.$/.test(pressed)) return false;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[pressed];
    if (arrows) {
      if (at.type === "radio") return false; // an answer reached by Tab is changed by arrows, as everywhere
      if (this.calipers.nudge(...arrows, event.shiftKey)) return true;
      return this.calipers.choose(arrows[0], -arrows[1]), true;
    }
    if (pressed === " ") return this.calipers.tool && !pressable && at.tagName !== "INPUT" ? (this.calipers.swap(), true) : false;
    const tools = {
      c: () => this.measure("calipers"), m: () => this.calipers.march(), e: () => this.calipers.keep("qt"), h: () => this.calipers.keep("rr"),
      x: () => this.markRegion(), "+": () => this.zoomBy(1), "=": () => this.zoomBy(1), "-": () => this.zoomBy(-1), 0: () => this.trueScale(),
      "[": () => this.cycle("speed", PAPER.speeds, -1), "]": () => this.cycle("speed", PAPER.speeds, 1),
      ",": () => this.cycle("gain", PAPER.gains, -1), ".": () => this.cycle("gain", PAPER.gains, 1),
      l: () => this.cycle("layout", PAPER.layouts, 1), v: () => this.cycle("order", PAPER.orders, 1), b: () => this.pause(true), g: () => this.calibrate(),
      f: () => this.data.pdf && this.pdf.click(),
      d: () => { Kept.set("paper", this.dark() ? "light" : "dark"); this.change("paper", this.dark() ? "dark" : "light"); this.paint(); },
    };
    if (tools[letter]) return tools[letter](), true;
    if (lesson) return false;
    if (pressed === "Backspace") return !this.backButton.hidden && (this.send("back", this.place), true);
    return this.form.press(letter);
  }
}

const DESKS = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let desk = DESKS.get(root);
  if (!desk) DESKS.set(root, (desk = new Desk(root)));
  desk.show(data, setTriggerValue);
  return () => { desk.leave(); DESKS.delete(root); };
}
