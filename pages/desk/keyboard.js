// What keys do at the desk; keys.js says it in words.
// A key, wherever the focus is: the desk's, unless a field or another part of the page takes it.
function pressed(desk, event) {
  desk.byPointer = false;
  const altGraph = event.getModifierState("AltGraph");
  if (!desk.root.isConnected || (event.altKey && !altGraph) || event.metaKey || desk.help.open || desk.card.open) return;
  const at = event.composedPath()[0], inside = event.composedPath().includes(desk.root);
  if (!inside && at !== document.body && at !== document.documentElement && at.closest?.("input, textarea, select, button, a, [role=dialog]")) return;
  if (at.tagName === "TEXTAREA") {
    if (event.key === "Escape") at.blur();
    else if (event.key === "Enter" && event.ctrlKey) desk.submit();
    else return event.stopPropagation();
    return consume(event);
  }
  if (event.ctrlKey && !altGraph) return;
  if (event.repeat && !event.key.startsWith("Arrow") && event.key !== "Tab") return consume(event);
  if (act(desk, event, at)) consume(event);
}

function consume(event) {
  event.preventDefault();
  event.stopPropagation();
}

// What a key does. Returns whether it is one of ours.
function act(desk, event, at) {
  const digit = !event.shiftKey && event.code.match(/^(?:Digit|Numpad)(\d)$/), key = digit ? digit[1] : event.key; // wherever digits need Shift
  const letter = key.toLowerCase(), lesson = !desk.lesson.hidden;
  const pressable = ["BUTTON", "A", "SELECT"].includes(at.tagName);
  if (!desk.cover.hidden) return ["enter", "b", "escape"].includes(letter) ? (desk.pause(false), true) : key !== "Tab";
  if (key === "Enter" && performance.now() - desk.began < TOO_SOON_MS && !desk.form.box.querySelector("input:checked")) return true; // meant for the one before
  if (key === "Enter") return !pressable && (lesson ? desk.next() : desk.submit(), true);
  if (key === "?") return desk.help.ask(desk.data.questions), desk.clock.pause(true), true;
  if (key === "Escape") return desk.back(at), true;
  if (at.tagName === "SELECT" && /^(Arrow|Home|End|Page)|^.$/.test(key)) return false;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  if (arrows) {
    if (desk.calipers.nudge(...arrows, event.shiftKey)) return true;
    if (at.type === "radio") return false; // an answer reached by Tab is changed by arrows, as everywhere
    if (at.type === "checkbox") return desk.form.step(at, arrows[0] - arrows[1]), true;
    return desk.calipers.choose(arrows[0], -arrows[1]), true;
  }
  if (key === " ") return desk.calipers.tool && !pressable && at.tagName !== "INPUT" ? (desk.calipers.swap(), true) : false;
  const tools = {
    c: () => desk.calipers.take("calipers", true), m: () => desk.calipers.march(), e: () => desk.calipers.keep("qt"), h: () => desk.calipers.keep("rr"),
    x: () => desk.markRegion(true), "+": () => desk.zoomBy(1), "=": () => desk.zoomBy(1), "-": () => desk.zoomBy(-1), 0: () => desk.trueScale(),
    "[": () => desk.cycle("speed", PAPER.speeds, -1), "]": () => desk.cycle("speed", PAPER.speeds, 1),
    ",": () => desk.cycle("gain", PAPER.gains, -1), ".": () => desk.cycle("gain", PAPER.gains, 1),
    l: () => desk.cycle("layout", PAPER.layouts, 1), v: () => desk.cycle("order", PAPER.orders, 1), b: () => desk.pause(true), g: () => desk.calibrate(),
    f: () => desk.data.pdf && desk.pdf.click(),
    d: () => { Kept.set("paper", desk.dark() ? "light" : "dark"); desk.change("paper", desk.dark() ? "dark" : "light"); desk.paint(); },
  };
  if (tools[letter]) return tools[letter](), true;
  if (lesson) return false;
  if (key === "Backspace") return !desk.backButton.hidden && (desk.away("back"), true);
  if (desk.frozen) return true;
  return desk.form.press(letter);
}
