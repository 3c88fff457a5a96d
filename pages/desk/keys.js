// The keys of the desk, as the help shows them.
const KEYS = [
  ["1 \u2026 6", "definitely real \u2026 definitely synthetic"],
  [FORM.rhythm.map(([, , letter]) => letter).join(" "), FORM.rhythm.map(([, text]) => text).join(", ")],
  [FORM.items.map(([, letter]) => letter).join(" "), `${FORM.items.map(([item]) => item).join(", ")}: ${FORM.judged.join(", then ")}`],
  [FORM.quality.map(([, letter]) => letter).join(" "), `quality of the tracing: ${FORM.quality.map(([answer]) => answer).join(", ")}`],
  ["Y", "all that is not yet judged is plausible"],
  ["W, K", "to the cues, to the comment; Esc comes back"],
  ["Enter", "submit; Ctrl+Enter from the comment"],
  ["Backspace", "the case before, to correct it"],
  ["\u2190 \u2191 \u2192 \u2193", "choose a lead; with calipers, move a leg by 10 ms or 0.05 mV, five times as far with Shift"],
  ["C", "calipers; Space takes up the other leg"],
  ["M", "march the interval out"],
  ["E, H", "keep the interval as QT, as RR: gives QTc"],
  ["X", "mark a region as the cue: between the legs, or by two clicks"],
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

// The dialog that shows them.
function keysDialog() {
  const rows = KEYS.map(([keys, words]) => el("tr", {}, el("th", { scope: "row" }, keys), el("td", {}, words)));
  const close = el("button", { type: "button", class: "submit", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { "aria-label": "Keys" }, el("h2", {}, "Keys"), el("table", {}, el("tbody", {}, ...rows)), close);
  return dialog;
}

// The dialog that brings a screen to true scale: a frame as wide as a bank card. store(CSS pixels for a millimetre).
function cardDialog(store) {
  const frame = el("div", { class: "card" }, `${FORM.cardMm.toFixed(2)} mm`);
  const width = el("input", { type: "range", min: "150", max: "1400", step: "1", "aria-label": "Width of the frame", oninput: () => { frame.style.width = `${width.value}px`; } });
  const done = el("button", { type: "button", class: "submit", onclick: () => { dialog.close(); store(Number(width.value) / FORM.cardMm); } }, "The frame is as wide as the card");
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
