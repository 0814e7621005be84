// Answers that the server has not acknowledged yet. They lie in this browser's storage, each under a
// key of its own, so that a closed page loses none and that two tabs, which share them, never write
// over each other. They are sent oldest first, by one tab at a time where the browser has locks;
// where it has none two tabs may send the same answer, which the server counts once.

import { kept } from "./parts.js";

const alone = (name, act) => (navigator.locks ? navigator.locks.request(name, act) : act());

export class Outbox {
  constructor(connection) {
    this.connection = connection;
    this.prefix = `unsent-answer ${connection.address} `;
    this.unkept = new Map(); // assignment -> {at, given}, where the browser keeps nothing
    this.isDelivering = false;
  }

  /** Keeps an answer; one of another tab to the same assignment came first and stays. */
  add(given) {
    if (this.has(given.assignment)) return;
    const entry = { at: Date.now(), given };
    const place = kept(this.prefix + given.assignment);
    place.write(entry);
    if (!place.read()) this.unkept.set(given.assignment, entry);
  }

  remove(assignment) {
    kept(this.prefix + assignment).clear();
    this.unkept.delete(assignment);
  }

  has(assignment) {
    return this.list().some((given) => given.assignment === assignment);
  }

  get size() {
    return this.list().length;
  }

  /** The answers, oldest first. */
  list() {
    const entries = this.keys().map((key) => kept(key).read());
    return [...entries, ...this.unkept.values()]
      .filter((entry) => entry?.given)
      .sort((a, b) => a.at - b.at)
      .map((entry) => entry.given);
  }

  keys() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(this.prefix));
    } catch {
      return []; // the browser keeps nothing
    }
  }

  /**
   * Sends until none is left, and calls onAnswer(given, status, body) for each that was answered.
   * Where the link is unknown it stops, and keeps them: the server may know it again.
   */
  async deliver(onAnswer) {
    this.isDelivering = true;
    this.connection.isLinkKnown = true;
    for (let attempt = 0; this.size && this.connection.isLinkKnown; attempt += 1) {
      const isAnswered = await alone(this.prefix, () => this.sendFirst(onAnswer));
      if (isAnswered) attempt = -1;
      else await this.connection.pause(attempt);
    }
    this.isDelivering = false;
  }

  async sendFirst(onAnswer) {
    const [first] = this.list();
    if (!first) return true; // another tab has sent it meanwhile
    const answer = await this.connection.post("judgments", first);
    if (!answer) return false;
    if (!this.connection.isLinkKnown) return true;
    this.remove(first.assignment);
    onAnswer(first, ...answer);
    return true;
  }
}
