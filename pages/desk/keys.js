// The keys of the desk, as the help shows them.
const KEYS = [ // [keys, what they do, the question that they belong to]
  ["1 \u2026 6", "definitely real \u2026 definitely synthetic", "realism"],
  [FORM.rhythm.map(([, , letter]) => letter).join(" "), FORM.rhythm.map(([, text]) => text).join(", "), "rhythm"],
  [FORM.items.map(([, letter]) => letter).join(" "), `${FORM.items.map(([item]) => item).join(", ")}: ${FORM.judged.join(", then ")}`, "morphology"],
  ["Y", "all that is not yet judged is plausible", "morphology"],
  [FORM.quality.map(([, letter]) => letter).join(" "), `quality of the tracing: ${FORM.quality.map(([answer]) => answer).join(", ")}`, "quality"],
  ["W", "to the cues; arrows and Space choose, Esc comes back", "cues"],
  ["X", "mark a region as the cue: between the legs of the calipers, or by two clicks", "marks"],
  ["K", "to the comment; Esc comes back"],
  ["Enter", "submit; Ctrl+Enter from the comment"],
  ["Backspace", "the case before, to correct it; Esc leaves a correction unchanged"],
  ["\u2190 \u2191 \u2192 \u2193", `choose a lead; with calipers, move a leg by ${STEP.ms} ms or ${STEP.mv} mV, ${STEP.far} times as far with Shift`],
  ["C", "calipers; Space takes up the other leg"],
  ["M", "march the interval out"],
  ["E, H", "keep the interval as QT, as RR: gives QTc"],
  ["+ \u2212 0", "larger, smaller, true scale"],
  ["[ ]", "paper speed"],
  [", .", "gain"],
  ["L, V", "layout; standard or Cabrera order"],
  ["D", "light or dark paper"],
  ["B", "a break: the strip is covered and the clock stands"],
  ["F", "print or save as PDF, to scale"],
  ["G", "bring this screen to true scale with a bank card"],
  ["?", "these keys"],
];

// The dialog that shows them. ask(questions): only those that are of use.
function keysDialog() {
  const rows = el("tbody");
  const close = el("button", { type: "button", class: "submit", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { "aria-label": "Keys" }, el("h2", {}, "Keys"), el("table", {}, rows), close);
  dialog.ask = (questions) => {
    const shown = KEYS.filter(([, , question]) => !question || questions.includes(question));
    rows.replaceChildren(...shown.map(([keys, words]) => el("tr", {}, el("th", { scope: "row" }, keys), el("td", {}, words))));
    dialog.showModal();
  };
  dialog.addEventListener("keydown", (event) => { if (event.key === "?") dialog.close(); });
  return dialog;
}

// The dialog that brings a screen to true scale: a frame as wide as a bank card. store(CSS pixels for a millimetre).
function cardDialog(store) {
  const frame = el("div", { class: "card" }, `${FORM.cardMm.toFixed(2)} mm`);
  const width = el("input", { type: "range", min: "150", max: "900", step: "1", "aria-label": "Width of the frame", oninput: () => { frame.style.width = `${width.value}px`; } });
  const finish = () => { dialog.close(); store(Number(width.value) / FORM.cardMm); };
  width.addEventListener("keydown", (event) => { if (event.key === "Enter") finish(); });
  const done = el("button", { type: "button", class: "submit", onclick: finish }, "The frame is as wide as the card");
  const close = el("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Not now");
  const dialog = el("dialog", { "aria-label": "True scale" }, el("h2", {}, "True scale on this screen"),
    el("p", {}, "Hold a bank card flat against the screen and make the frame exactly as wide as the card. Arrow keys move it by one pixel. Once for this screen; it is kept with your answers."),
    width, frame, el("div", { class: "end" }, close, done));
  dialog.ask = (pixelsPerMm) => {
    width.value = String(Math.round(pixelsPerMm * FORM.cardMm));
    frame.style.width = `${width.value}px`;
    dialog.showModal();
    width.focus();
  };
  return dialog;
}
