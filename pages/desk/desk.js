// The reading desk: one strip on paper, the form, and an answer that is kept in this browser until the server says that it is stored.
const LIFE = ["pointermove", "pointerdown", "keydown", "wheel"]; // signs of a reader
const TOO_SOON_MS = 300; // after a new strip, Enter is still meant for the one before
const CHANGES = 200; // of scale or layout, that are kept
const ZOOMS = [1, 1.5, 2, 3];
const CSS_PIXELS_PER_MM = 96 / 25.4; // on a screen that was never calibrated

class Desk {
  constructor(root) {
    this.root = root;
    this.sheet = { ...PAPER.default };
    this.zoom = 1;
    this.build();
    this.onKey = (event) => pressed(this, event);
    this.onAway = () => this.place !== undefined && this.draft();
    this.onLife = () => this.clock && this.clock.tick();
    this.onResize = () => {
      this.watchRatio();
      if (this.place !== undefined) this.paint();
    };
    this.listen("addEventListener");
    this.watchRatio();
  }

  leave() {
    this.listen("removeEventListener");
    this.ratio.removeEventListener("change", this.onResize);
    this.sending.stop();
  }

  listen(how) {
    for (const kind of LIFE) window[how](kind, this.onLife, { capture: true, passive: true }); // before the keys, which end here
    window[how]("keydown", this.onKey, true);
    document[how]("visibilitychange", this.onLife);
    window[how]("pagehide", this.onAway);
    window[how]("resize", this.onResize);
  }

  // The browser's zoom, or another screen: no resize need come with it.
  watchRatio() {
    if (this.ratio) this.ratio.removeEventListener("change", this.onResize);
    this.ratio = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    this.ratio.addEventListener("change", this.onResize);
  }

  // ---- what stands on the desk ----

  build() {
    const tool = (label, letter, act, more = {}) => el("button", { type: "button", class: "tool", onclick: act, ...more }, label, key(letter));
    const select = (label, name, values, words) => {
      const options = values.map((value) => el("option", { value }, words ? words(value) : String(value)));
      const chosen = el("select", { name, "aria-label": label, onchange: () => { this.set(name, chosen.value); chosen.blur(); } }, ...options);
      return (this.selects[name] = chosen);
    };
    this.selects = {};
    this.tools = {
      calipers: tool("Calipers", "C", () => this.calipers.take("calipers"), { "aria-pressed": "false" }),
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
      this.screenButton, tool("Keys", "?", () => this.help.ask(this.data.questions)));
    this.title = el("div", { class: "title" });
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("class", "overlay");
    this.cover = el("div", { class: "cover", hidden: true }, el("p", {}, "A break. The strip is covered and the clock stands."),
      el("button", { type: "button", class: "submit", onclick: () => this.pause(false) }, "Go on", key("Enter")));
    this.stage = el("div", { class: "stage", role: "img" }, this.canvas, this.svg);
    this.scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "ECG paper" }, this.stage);
    this.calipers = new Calipers(this.svg, { told: (words) => { this.live.textContent = words; }, changed: () => this.draft(), drawn: () => this.showTools() });
    this.sending = new Sending((words) => this.say(words), (said) => this.taken(said), (words) => this.refused(words));
    this.submitButton = el("button", { type: "button", class: "submit", onclick: () => this.submit() }, "Submit", key("Enter"));
    this.backButton = el("button", { type: "button", class: "plain", onclick: () => this.away("back") }, "Case before", key("\u232b"));
    this.status = el("p", { class: "status", role: "status" });
    this.form = new Form(() => this.draft(), el("div", { class: "end" }, this.status, this.backButton, this.submitButton));
    this.form.box.addEventListener("change", () => this.draft());
    this.form.box.addEventListener("input", () => this.draft());
    this.form.box.addEventListener("pointerdown", () => { this.byPointer = true; });
    this.form.box.addEventListener("click", ({ target }) => { // the pointer's focus must not turn arrow keys into answers
      if (this.byPointer && (target.type === "radio" || target.tagName === "BUTTON")) target.blur();
    });
    this.live = el("p", { class: "unseen", "aria-live": "polite" });
    this.lesson = el("section", { class: "lesson", hidden: true, "aria-live": "polite" });
    this.box = el("div", { class: "desk" }, this.title, bar, el("div", { class: "paper" }, this.scroll, this.cover), this.lesson, this.form.box, this.live, (this.help = keysDialog()), (this.card = cardDialog((pixels) => this.calibrated(pixels))));
    for (const dialog of [this.help, this.card]) dialog.addEventListener("close", () => this.clock.pause(!this.cover.hidden));
    this.root.replaceChildren(this.box);
  }

  shadow() {
    return this.root.getRootNode();
  }

  // ---- a case comes in ----

  show(data, send) {
    this.send = send;
    if (this.behind(data)) return;
    if (data.place === this.place && !this.sending.busy) this.freeze(false);
    this.data = data;
    this.scales = data.scales;
    if (data.place !== this.place) this.lay();
    this.tell(data);
  }

  // Whether the screen was drawn before the desk went on by itself.
  behind(data) {
    const now = this.data;
    return now && !now.given && !data.given && data.round === now.round && data.done < now.done + Number(Boolean(now.lesson));
  }

  // Another case: its strip at once, then the form with the draft that may be there.
  lay() {
    const { data } = this;
    Kept.tidy(data.draft);
    this.place = data.place;
    this.sending.stop();
    this.freeze(false);
    const draft = data.lesson ? null : Kept.draft(data.draft), answer = (draft && draft.answer) || data.given || {};
    this.leads = leadsOf(decodeCounts(data.counts));
    Object.assign(this.sheet, { speed: PAPER.default.speed, gain: PAPER.default.gain }); // layout and order are the reader's habit
    Object.assign(this, { zoom: 1, changes: [], magnified: 0, printed: 0, ...(draft && draft.viewed) });
    this.calipers.clear();
    if (draft && draft.counts) this.calipers.counts = draft.counts;
    this.calipers.marks = answer.marks || [];
    this.clock = new Clock(draft ? draft.reading_ms : 0, draft ? draft.away_ms : 0);
    if (!this.cover.hidden) this.clock.pause(true); // the break goes on
    this.scroll.scrollTo(0, 0);
    this.paint();
    this.began = performance.now();
    this.asking = false;
    this.form.show(data.questions, answer);
    this.status.textContent = "";
    this.live.textContent = data.title;
    this.submitButton.firstChild.textContent = data.given ? "Store the correction" : "Submit";
    this.backButton.hidden = !data.before;
    this.pdf.hidden = !data.pdf;
    this.showMarks();
    if (draft && draft.sent && this.cover.hidden) this.submit();
    if (!this.scale().calibrated && !this.asked) {
      this.asked = true;
      if (!Kept.get("card asked")) this.calibrate();
    }
    this.box.dataset.painted = data.place;
  }

  tell({ title, study, notice, done, total, lesson }) {
    const bar = el("progress", { max: String(total), value: String(done), "aria-label": `${done} of ${total} cases read` });
    const leave = el("button", { type: "button", class: "plain", title: "Your submitted answers are stored. You continue at this case.", onclick: () => this.away("leave") }, "Leave");
    this.title.replaceChildren(el("strong", {}, title), bar, el("span", {}, study), notice ? el("span", { class: "demo" }, notice) : null, el("span", { class: "space" }), leave);
    this.stage.setAttribute("aria-label", `12-lead ECG, ${title}, ${this.words()}`);
    this.lesson.hidden = !lesson;
    this.form.box.hidden = Boolean(lesson);
    if (lesson) this.lesson.replaceChildren(...lesson.lines.map((line) => el("p", {}, line)), el("button", { type: "button", class: "submit", onclick: () => this.next() }, lesson.next, key("Enter")));
  }

  next() {
    this.send("onward", this.place);
  }

  // What Esc leaves: a tool, its legs, a field, a correction.
  back(at) {
    if (this.calipers.tool) this.calipers.take(this.calipers.tool);
    else if (this.calipers.a) (this.calipers.letGo(), this.calipers.draw());
    else if (at !== document.body && at !== document.documentElement) at.blur?.();
    else if (this.data.given) this.away("leave");
  }

  // To somewhere else, unless an answer is on its way.
  away(where) {
    if (this.sending.busy) return this.say("Wait a moment: your answer is not stored yet.");
    if (where === "back" && this.data.given && this.changed()) return this.say("Store the correction first, or leave it with Esc.");
    if (where === "leave" && this.data.given) Kept.drop(`draft/${this.data.draft}`);
    this.freeze(true);
    this.send(where, this.place);
  }

  // Whether a correction differs from what was given.
  changed() {
    const now = this.answer(), before = this.data.given;
    return Object.keys(now).some((name) => JSON.stringify(now[name]) !== JSON.stringify(before[name]));
  }

  // While an answer is on its way the screen shows what was sent.
  freeze(frozen) {
    this.frozen = frozen;
    this.box.classList.toggle("saving", frozen);
    this.form.main.inert = this.form.side.inert = frozen;
    this.submitButton.disabled = frozen;
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
    this.painted = { ratio, calibrated, pixels_per_mm: pixelsPerMm * ratio * this.zoom };
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
    if (String(this.sheet[name]) === String(value)) return;
    this.sheet[name] = ["speed", "gain"].includes(name) ? Number(value) : value;
    this.change(name, this.sheet[name]);
    this.paint();
  }

  cycle(name, values, step) {
    const at = values.indexOf(this.sheet[name]) + step;
    this.set(name, values[["layout", "order"].includes(name) ? (at + values.length) % values.length : Math.min(Math.max(at, 0), values.length - 1)]);
  }

  change(what, to) {
    if (this.changes.length < CHANGES) this.changes.push({ at_ms: Math.round(performance.now() - this.began), what, to });
  }

  zoomBy(step) {
    const at = Math.min(Math.max(ZOOMS.indexOf(this.zoom) + step, 0), ZOOMS.length - 1);
    if (ZOOMS[at] === this.zoom) return;
    if (ZOOMS[at] > this.zoom) this.magnified += 1;
    this.zoom = ZOOMS[at];
    this.change("zoom", this.zoom);
    this.paint();
    this.calipers.bring();
  }

  trueScale() {
    if (this.zoom !== 1) this.zoomBy(-ZOOMS.length);
  }

  pause(paused) {
    if (this.lesson.hidden === false) return;
    this.clock.pause(paused);
    this.cover.hidden = !paused;
    this.scroll.inert = this.form.box.inert = paused;
    if (!paused && (Kept.draft(this.data.draft) || {}).sent && !this.sending.busy) this.submit();
    if (paused) this.cover.querySelector("button").focus();
    else this.shadow().activeElement?.blur();
  }

  markRegion(byKey = false) {
    if (!this.data.questions.includes("marks")) return;
    if (this.calipers.tool && this.calipers.b) this.calipers.mark();
    else this.calipers.take("mark", byKey);
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
    this.clock.pause(true);
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
    return { ...this.form.answer(), marks: this.data.questions.includes("marks") ? structuredClone(this.calipers.marks) : [] };
  }

  viewing() {
    const { ratio, ...painted } = this.painted, pinch = window.visualViewport ? window.visualViewport.scale : 1;
    return {
      ...this.clock.times(), ...this.sheet, ...painted, zoom: this.zoom, pinch, screen: `${screen.width}x${screen.height}x${ratio}`,
      changes: this.changes, ...this.calipers.counts, magnifier: this.magnified, printed: this.printed,
    };
  }

  submit() {
    if (this.frozen || this.data.lesson || !this.cover.hidden) return;
    const missing = this.form.missing();
    if (missing.length) {
      this.asking = true;
      return this.say(`Not submitted yet. Still to answer: ${missing.join(", ")}.`);
    }
    const kept = this.draft(true), { place, key } = this.data;
    this.freeze(true);
    this.sending.send({ place, key, answer: this.answer(), viewing: this.viewing() }, kept);
  }

  refused(words) {
    this.freeze(false);
    this.draft();
    this.say(words);
  }

  // The server's word on an answer: refused, or stored, and then the next case is with it.
  taken({ problem, notice, done, case: next }) {
    if (problem) return this.refused(problem);
    Kept.drop(`draft/${this.data.draft}`);
    if (done || this.data.given) return this.send("onward", this.place); // still frozen: keys are for the next case
    this.show(next, this.send);
    if (notice) this.say(notice);
  }

  say(words) {
    this.status.textContent = words;
  }

  // Whether this browser has kept it.
  draft(sent = false) {
    if (this.asking && !sent) {
      const missing = this.form.missing();
      this.asking = missing.length > 0;
      this.say(missing.length ? `Still to answer: ${missing.join(", ")}.` : "");
    }
    if (this.data.lesson || (this.sending.busy && !sent)) return false;
    const viewed = { changes: this.changes, magnified: this.magnified, printed: this.printed };
    return Kept.setDraft(this.data.draft, { answer: this.answer(), ...this.clock.times(), viewed, counts: this.calipers.counts, sent });
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
