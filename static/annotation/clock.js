// The time that a question is on the screen: since when, when answers are taken, when it is covered.

const SOONEST_ANSWER_MS = 300; // sooner, nobody can have looked: a double click, a held key

export class Clock {
  /** In seconds; limitS may be null. onOpen: answers are taken from now on. onLimit: cover it. */
  constructor({ minimumS, limitS, onOpen, onLimit }) {
    this.soonestMs = Math.max(SOONEST_ANSWER_MS, minimumS * 1000);
    this.limitMs = limitS === null ? null : limitS * 1000;
    this.handlers = { onOpen, onLimit };
    this.startedAt = null;
    this.timers = [];
  }

  get isRunning() {
    return this.startedAt !== null;
  }

  start(at) {
    this.stop();
    this.startedAt = at;
    const past = performance.now() - at;
    this.timers = [setTimeout(this.handlers.onOpen, this.soonestMs - past)];
    if (this.limitMs !== null) {
      this.timers.push(setTimeout(this.handlers.onLimit, this.limitMs - past));
    }
  }

  stop() {
    this.startedAt = null;
    this.timers.forEach(clearTimeout);
  }

  elapsed(at) {
    return at - this.startedAt;
  }

  /** Whether the limit of a clock that was started then has passed. */
  isOver(startedAt) {
    return this.limitMs !== null && performance.now() - startedAt >= this.limitMs;
  }

  /** Whether an answer given at that time is taken. */
  isOpen(at = performance.now()) {
    return this.isRunning && this.elapsed(at) >= this.soonestMs;
  }
}
