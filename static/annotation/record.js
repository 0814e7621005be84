// What happens while a question is on the screen: [whole milliseconds since it was painted, code].
// docs/judgments.md lists the codes.

const MOST_EVENTS = 1000; // all that the server takes
const LATEST_MS = 24 * 3600 * 1000; // longer than anybody judges, and all that the server takes

export class Record {
  constructor() {
    this.begun = null;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.hide();
      else this.unhide();
    });
    window.addEventListener("blur", () => this.note("blur"));
    window.addEventListener("focus", () => this.note("focus"));
  }

  /** A question was painted at `at`, for the first time at `begun`; `codes` is how it stands. */
  begin(begun, at, codes) {
    this.begun = begun;
    this.events = [];
    this.originals = 0;
    this.hiddenMs = 0;
    this.hiddenSince = null;
    for (const code of codes) this.note(code, at);
    if (document.hidden) this.hide(at);
    else if (!document.hasFocus()) this.note("blur", at);
  }

  end() {
    this.begun = null;
  }

  note(code, at = performance.now()) {
    if (this.begun === null) return;
    if (code === "original-on") this.originals += 1;
    if (this.events.length === MOST_EVENTS) return;
    const before = this.events.at(-1)?.[0] ?? 0;
    const ms = Math.min(Math.round(at - this.begun), LATEST_MS);
    this.events.push([Math.max(before, ms), code]);
  }

  hide(at = performance.now()) {
    this.note("hidden", at);
    this.hiddenSince = at;
  }

  unhide() {
    this.note("visible");
    if (this.hiddenSince !== null) this.hiddenMs += performance.now() - this.hiddenSince;
    this.hiddenSince = null;
  }
}
