// An answer on its way: sent until the server has said what became of it. It may well arrive twice, and is stored once.
const PATIENCE_MS = 3000; // so long without the server's word, the reader is told
const LIMIT_MS = 20000; // so long, an attempt is given up
const PAUSES_MS = [1000, 2000, 4000, 8000, 15000]; // before the next attempt
const AGAIN = {
  401: "you are signed out. Sign in again in another window",
  500: "the server met an error that nobody foresaw",
  503: "the database cannot be used at the moment",
};

class Sending {
  // tell(words, or "" for none), taken(what the server says), refused(words): an end without the answer having been stored.
  constructor(tell, taken, refused) {
    Object.assign(this, { tell, taken, refused, answer: null });
  }

  get busy() {
    return this.answer !== null;
  }

  // kept: whether this browser has a draft of it.
  send(answer, kept) {
    this.stop();
    Object.assign(this, { answer, kept, attempts: 0 });
    this.attempt();
  }

  stop() {
    this.answer = null;
    clearTimeout(this.waiting);
    clearTimeout(this.patience);
  }

  async attempt() {
    const { answer } = this, late = new AbortController(), timer = setTimeout(() => late.abort(), LIMIT_MS);
    this.patience = setTimeout(() => answer === this.answer && this.wait("the server does not answer"), PATIENCE_MS);
    let status = 0, said = null, error = null;
    try {
      const reply = await fetch("/answer", { method: "POST", body: JSON.stringify(answer), headers: { "content-type": "application/json" }, signal: late.signal });
      status = reply.status;
      error = reply.headers.get("x-blindstrip-error"); // its id in the server's log
      said = reply.ok ? await reply.json() : await reply.text();
    } catch {
      status = 0; // no network, no server, or too slow
    }
    clearTimeout(timer);
    if (answer !== this.answer) return;
    clearTimeout(this.patience);
    if (status === 200) {
      this.stop();
      this.taken(said);
    } else if ([400, 403, 409, 413, 422].includes(status)) {
      this.stop();
      this.refused(said || `The server refuses the answer (${status}).`);
    } else {
      const why = AGAIN[status] || (status ? `the server says ${status}` : "the server does not answer");
      this.wait(error ? `${why} (error ${error})` : why);
      this.waiting = setTimeout(() => this.attempt(), PAUSES_MS[Math.min(this.attempts++, PAUSES_MS.length - 1)]);
    }
  }

  wait(why) {
    const safe = this.kept ? "Your answer is kept in this browser and sent" : "Leave this page open: your answer is sent";
    this.tell(`Not stored yet: ${why}. ${safe} again until it is stored.`);
  }
}
