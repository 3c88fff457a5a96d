// What this browser keeps: drafts until the server has stored the answer, and a few habits. Nothing here is needed; a reload is kinder with it.
const KEPT_DAYS = 14; // a draft that was never submitted; one that was stays until it is stored

const MEMORY = new Map(); // where a browser keeps nothing

const Kept = {
  get(what) {
    try {
      const found = localStorage.getItem(`blindstrip/${what}`);
      if (found !== null) return found;
    } catch {
      // forbidden
    }
    return MEMORY.get(what) ?? null;
  },

  // Whether it will outlive this page.
  set(what, value) {
    MEMORY.set(what, value);
    try {
      localStorage.setItem(`blindstrip/${what}`, value);
      return true;
    } catch {
      return false; // full, or forbidden
    }
  },

  drop(what) {
    MEMORY.delete(what);
    try {
      localStorage.removeItem(`blindstrip/${what}`);
    } catch {
      // nothing is kept here
    }
  },

  // This browser's own name for the screen that it is on, whichever way that is turned.
  screen() {
    let browser = Kept.get("browser");
    if (!browser) Kept.set("browser", (browser = Math.random().toString(36).slice(2, 10)));
    return `${browser}-${Math.max(screen.width, screen.height)}x${Math.min(screen.width, screen.height)}`;
  },

  draft(name) {
    try {
      return JSON.parse(Kept.get(`draft/${name}`));
    } catch {
      return null;
    }
  },

  setDraft(name, draft) {
    return Kept.set(`draft/${name}`, JSON.stringify({ ...draft, at: Date.now() }));
  },

  // Forgets drafts that nobody came back to.
  tidy(current) {
    let names = [];
    try {
      names = Object.keys(localStorage).filter((name) => name.startsWith("blindstrip/draft/"));
    } catch {
      return;
    }
    for (const name of names.map((one) => one.slice("blindstrip/draft/".length))) {
      const draft = Kept.draft(name);
      const old = !draft || (!draft.sent && !(Date.now() - draft.at < KEPT_DAYS * 24 * 3600 * 1000));
      if (old && name !== current) Kept.drop(`draft/${name}`);
    }
  },
};
