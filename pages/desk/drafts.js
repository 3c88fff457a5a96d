// What this browser keeps: drafts until the server has stored the answer, and a few habits. Nothing here is needed; a reload is kinder with it.
const KEPT_DAYS = 14; // drafts of cases that were never submitted

const Kept = {
  get(what) {
    try {
      return localStorage.getItem(`blindstrip/${what}`);
    } catch {
      return null; // a browser that keeps nothing
    }
  },

  set(what, value) {
    try {
      localStorage.setItem(`blindstrip/${what}`, value);
    } catch {
      // full, or forbidden: the answer is still on the screen
    }
  },

  // This browser's own name for the screen that it is on, whichever way that is turned.
  screen() {
    let browser = Kept.get("browser");
    if (!browser) Kept.set("browser", (browser = Math.random().toString(36).slice(2, 10)));
    return `${browser}-${Math.max(screen.width, screen.height)}x${Math.min(screen.width, screen.height)}`;
  },

  draft(reader, place) {
    try {
      return JSON.parse(Kept.get(`${reader}/${place}`));
    } catch {
      return null;
    }
  },

  setDraft(reader, place, draft) {
    Kept.set(`${reader}/${place}`, JSON.stringify({ ...draft, at: Date.now() }));
  },

  drop(reader, place) {
    try {
      localStorage.removeItem(`blindstrip/${reader}/${place}`);
    } catch {
      // nothing is kept here
    }
  },

  // Drafts that are of no use: of cases of this round that the server has, but for the one in view, and old ones.
  forget(reader, place, { prefix, before }) {
    try {
      const mine = `blindstrip/${reader}/`;
      for (const name of Object.keys(localStorage)) {
        if (!name.startsWith(mine)) continue;
        const other = name.slice(mine.length), { at } = JSON.parse(localStorage.getItem(name)) || {};
        const old = !(Date.now() - at < KEPT_DAYS * 24 * 3600 * 1000);
        const stored = other.startsWith(prefix) && parseInt(other.slice(prefix.length), 10) < before;
        if (old || (stored && other !== place)) localStorage.removeItem(name);
      }
    } catch {
      // nothing is kept here
    }
  },
};
