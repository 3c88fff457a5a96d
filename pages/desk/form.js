// The form: what the phase asks, by pointer, touch or key. FORM, defined before this, holds the words of study/protocol.py.

// An element with attributes and children; a value of null leaves the attribute out.
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const key = (letter) => el("kbd", {}, letter);

class Form {
  // end: what stands below the questions and never changes.
  constructor(changed, end) {
    this.changed = changed;
    this.main = el("div", { class: "questions" });
    this.side = el("div", { class: "side" });
    this.box = el("div", { class: "form" }, this.main, this.side, end);
  }

  // The questions of a phase, with what is known of the answer.
  show(questions, answer) {
    this.questions = questions;
    const asked = { realism: () => this.realism(), quality: () => this.quality(), rhythm: () => this.rhythm(), morphology: () => this.morphology() };
    this.marks = null;
    this.main.replaceChildren(...questions.filter((name) => asked[name]).map((name) => asked[name]()));
    this.side.replaceChildren(...(questions.includes("cues") ? [this.cues()] : []), this.comment());
    this.fill(answer);
  }

  choice(name, legend, answers, hint = "") {
    const options = answers.map(([value, text, letter]) =>
      el("label", { class: "choice" }, el("input", { type: "radio", name, value }), el("span", {}, text, letter ? key(letter) : null)));
    return el("fieldset", { class: "question", "data-question": name }, el("legend", {}, legend, hint ? key(hint) : null), el("div", { class: "choices" }, ...options));
  }

  realism() {
    return this.choice("realism", "Recorded from a patient, or synthetic?", FORM.scale.map((text, i) => [String(i + 1), text, String(i + 1)]));
  }

  quality() {
    return this.choice("quality", "Quality of the tracing", FORM.quality.map(([answer, letter]) => [answer, answer, letter]));
  }

  rhythm() {
    return this.choice("rhythm", "Rhythm", FORM.rhythm);
  }

  morphology() {
    const items = FORM.items.map(([item, letter]) => this.choice(item, item, FORM.judged.map((answer) => [answer, answer, ""]), letter));
    const all = el("button", { type: "button", class: "plain", onclick: () => this.restPlausible() }, "The rest plausible", key("Y"));
    return el("div", { class: "morphology", role: "group", "aria-label": "Morphology" }, ...items, all);
  }

  cues() {
    const options = FORM.cues.map((cue) => el("label", { class: "cue" }, el("input", { type: "checkbox", name: "cues", value: cue }), el("span", {}, cue)));
    this.marks = el("ul", { class: "marks", "aria-label": "Marked regions" });
    return el("fieldset", { class: "question", "data-question": "cues" }, el("legend", {}, "What gave it away, if anything did", key("W")), el("div", { class: "cues" }, ...options), this.marks);
  }

  comment() {
    const text = el("textarea", { name: "comment", rows: "1", maxlength: String(FORM.commentLength) });
    return el("label", { class: "comment" }, el("span", {}, "Comment", key("K")), text);
  }

  // The marked regions, each with a button that takes it away.
  showMarks(marks, remove) {
    if (!this.marks) return;
    const lines = marks.map((mark, i) => {
      const name = `${mark.lead}, ${(mark.from_ms / 1000).toFixed(2)} to ${(mark.to_ms / 1000).toFixed(2)} s`;
      return el("li", {}, name, el("button", { type: "button", class: "plain", "aria-label": `Remove the mark on ${name}`, onclick: () => remove(i) }, "\u00d7"));
    });
    this.marks.replaceChildren(...lines);
  }

  inputs(name) {
    return [...this.box.querySelectorAll("input")].filter((input) => input.name === name);
  }

  value(name) {
    const chosen = this.inputs(name).find((input) => input.checked);
    return chosen ? chosen.value : null;
  }

  choose(name, value) {
    const input = this.inputs(name).find((one) => one.value === String(value));
    if (!input) return false;
    input.checked = true;
    this.box.querySelector(`[data-question="${name}"]`).classList.remove("missing");
    this.changed();
    return true;
  }

  fill(answer) {
    for (const name of ["realism", "quality", "rhythm"]) if (answer[name]) this.inputs(name).forEach((input) => (input.checked = input.value === String(answer[name])));
    for (const [item, judged] of Object.entries(answer.morphology || {})) this.inputs(item).forEach((input) => (input.checked = input.value === judged));
    this.inputs("cues").forEach((input) => (input.checked = (answer.cues || []).includes(input.value)));
    this.box.querySelector("textarea").value = answer.comment || "";
  }

  // What has been answered so far; what is not asked stays empty.
  answer() {
    const realism = this.value("realism");
    return {
      realism: realism && Number(realism),
      quality: this.value("quality"),
      rhythm: this.value("rhythm"),
      morphology: Object.fromEntries(FORM.items.map(([item]) => [item, this.value(item)]).filter(([, judged]) => judged)),
      cues: this.inputs("cues").filter((input) => input.checked).map((input) => input.value),
      comment: this.box.querySelector("textarea").value,
    };
  }

  // The names of the questions still to answer, in the form's order.
  missing() {
    const names = this.questions.flatMap((name) => (name === "morphology" ? FORM.items.map(([item]) => item) : ["realism", "quality", "rhythm"].includes(name) ? [name] : []));
    const missing = names.filter((name) => this.value(name) === null);
    for (const name of names) this.box.querySelector(`[data-question="${name}"]`).classList.toggle("missing", missing.includes(name));
    const answer = this.answer();
    if (answer.cues.includes(FORM.cues.at(-1)) && !answer.comment.trim()) missing.push("the comment that your cue refers to");
    return missing.map((name) => (name === "realism" ? "real or synthetic" : name));
  }

  // The next cue, or the one before, from the one that has the focus.
  step(from, by) {
    const cues = this.inputs("cues");
    cues[(cues.indexOf(from) + Math.sign(by) + cues.length) % cues.length].focus();
  }

  restPlausible() {
    for (const [item] of FORM.items) if (this.value(item) === null) this.choose(item, FORM.judged[0]);
  }

  // A key that answers a question. Returns whether it was one.
  press(letter) {
    if (/^[1-6]$/.test(letter)) return this.choose("realism", letter);
    const quality = FORM.quality.find(([, one]) => one === letter);
    if (quality) return this.choose("quality", quality[0]);
    const rhythm = FORM.rhythm.find(([, , one]) => one.toLowerCase() === letter);
    if (rhythm) return this.choose("rhythm", rhythm[0]);
    const item = FORM.items.find(([, one]) => one.toLowerCase() === letter);
    if (item) return this.choose(item[0], FORM.judged[(FORM.judged.indexOf(this.value(item[0])) + 1) % FORM.judged.length]);
    if (letter === "y" && this.questions.includes("morphology")) return this.restPlausible(), true;
    if (letter === "w" && this.inputs("cues").length) return this.inputs("cues")[0].focus(), true;
    if (letter === "k") return this.box.querySelector("textarea").focus(), true;
    return false;
  }
}
