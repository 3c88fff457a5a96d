// Reading time: the strip in view and the reader at work; everything else since the strip was painted is time away.
const IDLE_MS = 60000; // without a key, touch or pointer for so long, the reader is taken to be elsewhere

class Clock {
  constructor(reading = 0, away = 0) {
    this.reading = reading;
    this.away = away;
    this.paused = false;
    this.last = performance.now();
    this.hidden = document.hidden;
  }

  // Counts up to now; called at every sign of life and whenever what counts changes.
  tick() {
    const now = performance.now(), passed = now - this.last;
    this.last = now;
    if (this.paused || this.hidden) this.away += passed;
    else {
      this.reading += Math.min(passed, IDLE_MS);
      this.away += Math.max(passed - IDLE_MS, 0);
    }
    this.hidden = document.hidden;
  }

  pause(paused) {
    this.tick();
    this.paused = paused;
  }

  times() {
    this.tick();
    return { reading_ms: Math.round(this.reading), away_ms: Math.round(this.away) };
  }
}
