// What the judging pages share: from the server's list of questions to the answer on its way back.
//
// A question is shown once all of it has decoded; the next one loads meanwhile. An answer is first
// kept by the browser (outbox.js), and the next question is shown without waiting for the server to
// have it; only practice and quiz wait, since their answers decide what comes next.

import { Clock } from "./clock.js";
import { conditions, isPhone, unmetBy, watchConditions } from "./conditions.js";
import { Connection } from "./connection.js";
import { isTyping, keyOf } from "./keys.js";
import { Outbox } from "./outbox.js";
import { isShowing, keptByTab, main, notice, part, parts, settings, show } from "./parts.js";
import { Record } from "./record.js";
import { Remark } from "./remark.js";
import { Stage, load } from "./stage.js";
import { Sureness } from "./sureness.js";
import { endingWords, gettext, interpolate, ngettext, warningWords } from "./words.js";

const DAY_MS = 24 * 3600 * 1000; // longer than anybody judges, and all that the server takes
const SOONEST_SURE_MS = 300; // after the choice: a double click must not answer both
const PAN_KEYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class Judging {
  /**
   * What a page adds:
   *   words           progress(number, total), judged(count), placeTaken() and, of practice,
   *                   feedback(isRight, closest): in its own terms
   *   fitsWindow      () => whether the window has room for a question
   *   showing         which views are on the screen at once (stage.js)
   *   positions       (assignment) => what each view can show (stage.js)
   *   describe        (position, view) => a picture's text alternative
   *   onPresent       (assignment) => called before a question is painted; may return, by view, the
   *                   position that is shown first
   *   onKey           (key, event) => true if the key was its own; `key` as keyOf gives it
   *   onPannable      (isPannable) => pictures are larger than their views, or no longer
   *   onFlip          (toOriginal) => the original stands in place of the copies, or no longer
   *   onResize        called when the window has another size
   *   onState         called when `isOpen` or `isCovered` changes
   *   onAnswered      (assignment) => called when its answer is kept
   *   firstEvents     () => codes of how the question stands when it is painted (record.js)
   *   viewing         () => numbers stored with the answer besides those that all pages give
   */
  constructor(page) {
    this.page = {
      onPresent: () => ({}),
      onPannable: (isPannable) => (part("pan-hint").hidden = !isPannable),
      onResize: () => this.stage.arrange(),
      onFlip: () => {},
      onState: () => {},
      onAnswered: () => {},
      firstEvents: () => [],
      viewing: () => ({}),
      ...page,
    };
    this.total = Number(main.dataset.total);
    this.connection = new Connection(main.dataset.judge, () => this.tellConnection());
    this.outbox = new Outbox(this.connection);
    this.stage = new Stage(part("stage"), {
      captions: parts("under"),
      onPannable: (isPannable) => this.page.onPannable(isPannable),
      showing: page.showing,
    });
    this.clock = new Clock({
      minimumS: settings.viewing.minimum_s,
      limitS: settings.viewing.limit_s,
      onOpen: () => this.open(true),
      onLimit: () => this.cover(true),
    });
    this.record = new Record();
    this.sureness = new Sureness({
      onAnswer: (confidence, at) => this.tellSureness(confidence, at),
      onBack: () => this.reconsider(),
    });
    this.remark = new Remark({
      onToggle: (isOpen) => this.record.note(isOpen ? "remark-on" : "remark-off"),
    });
    part("remark").hidden = !settings.viewing.remark;
    // {token, at}: of the question that was painted last, and since when, by the wall's clock.
    this.painted = keptByTab(`painted ${main.dataset.judge}`);

    this.todo = null; // what the server said last
    this.answered = new Set(); // assignments answered on this page
    this.loaded = new Map(); // assignment token -> promise of its images
    this.turn = null; // the token of the assignment that is on the screen, or loads for it
    this.shown = null; // the assignment whose turn it is, with its images
    this.current = null; // the assignment on the screen
    this.chosen = null; // {answer, at}: the choice, until it is told how sure it is
    this.isOpen = false; // whether answers are taken, or must wait
    this.isCovered = false;
    this.afterFeedback = null; // what the server said, while practice tells what was right
    this.isBlocked = false; // whether the window or the screen keeps it from the screen
    this.isSpaceHeld = false; // to see the original
    this.listen();
  }

  /** Whether an answer can be worked on: a question is on the screen and not answered yet. */
  get isAsking() {
    return this.clock.isRunning && !this.chosen;
  }

  // --- questions: from the server to the screen

  async start() {
    if (this.block()) return;
    show("loading");
    await (this.outbox.size ? this.deliver() : this.ask());
  }

  async ask() {
    const [status, todo] = await this.connection.send("next", {});
    if (status === 200) return this.goOn(todo);
    return this.tellUnknownLink();
  }

  tellUnknownLink() {
    this.leave();
    part("reason").textContent = gettext("This link is not known here. Please ask for a new one.");
    show("failed");
  }

  /** Goes on with what the server wants; a question on the screen stays if it is still wanted. */
  goOn(todo) {
    this.todo = todo;
    if (todo.warnings.length) notice(warningWords(todo.warnings));
    const open = this.openAssignments();
    this.preload(open);
    this.tellProgress();
    if (!open.some((assignment) => assignment.token === this.turn)) return this.advance();
  }

  openAssignments() {
    const isOpen = ({ token }) => !this.answered.has(token) && !this.outbox.has(token);
    return this.todo.assignments.filter(isOpen);
  }

  preload(assignments) {
    const tokens = new Set(assignments.map((assignment) => assignment.token));
    for (const token of this.loaded.keys()) if (!tokens.has(token)) this.loaded.delete(token);
    for (const assignment of assignments) this.load(assignment);
  }

  load(assignment) {
    if (!this.loaded.has(assignment.token)) {
      const images = load(assignment, this.page.positions(assignment), this.page.describe);
      images.catch(() => this.loaded.delete(assignment.token)); // tried again when its turn comes
      this.loaded.set(assignment.token, images);
    }
    return this.loaded.get(assignment.token);
  }

  /** Shows the next question that is known. */
  async advance() {
    this.leave();
    const [next] = this.openAssignments();
    this.turn = next?.token ?? null;
    if (!next) return this.outbox.size ? this.tellConnection() : this.finish();
    let images;
    try {
      images = await this.load(next);
    } catch {
      if (this.turn !== next.token) return;
      this.turn = null;
      // With answers unsent it is the connection: it is tried again when the server has them.
      return this.outbox.size ? this.tellConnection() : this.fail(next);
    }
    if (this.turn === next.token) await this.present(next, images);
  }

  /** Puts a question on the screen and starts its clock, unless something is in the way. */
  async present(assignment, images) {
    this.shown = { assignment, images };
    if (this.block()) return;
    const isAgain = main.dataset.painted === assignment.token;
    const before = isAgain ? null : this.paintedBefore(assignment);
    this.current = assignment;
    show("question");
    this.tellProgress();
    this.cover(before !== null && this.clock.isOver(before)); // at once, before its timer does
    this.open(!settings.viewing.minimum_s);
    if (!isAgain) this.remark.clear();
    const painted = this.stage.present(assignment, images, this.page.onPresent(assignment));
    this.tellFlip(false);
    const paintedAt = await painted;
    if (this.current !== assignment) return;
    const begunAt = before ?? paintedAt;
    const again = isAgain || before !== null ? ["again"] : [];
    this.clock.start(begunAt);
    this.record.begin(begunAt, paintedAt, [...again, ...this.page.firstEvents()]);
    main.dataset.painted = assignment.token;
    this.painted.write({
      token: assignment.token,
      at: Date.now() - this.clock.elapsed(performance.now()),
    });
  }

  /** Since when, by this page's clock, a question was on the screen before a reload; null: it was not. */
  paintedBefore(assignment) {
    const { token, at } = this.painted.read() ?? {};
    if (token !== assignment.token || !Number.isFinite(at)) return null;
    const ms = Math.max(Date.now() - at, 0); // the wall's clock may have been set back
    return performance.now() - ms;
  }

  /** The question on the screen is no longer asked; its pictures stay until others come. */
  leave() {
    this.clock.stop();
    this.record.end();
    this.turn = this.current = this.shown = null;
    this.choose(null);
  }

  finish() {
    const { judged, is_open: isOpen } = this.todo;
    const ending = this.todo.ending ?? { outcome: judged ? "completed" : "full" };
    const [title, text] = endingWords(ending.outcome, isOpen);
    part("thanks-title").textContent = title;
    part("thanks-text").textContent = text;
    part("thanks-count").textContent = judged ? this.page.words.judged(judged) : "";
    part("thanks-more").hidden = !judged;
    part("ending").hidden = !ending.code;
    part("code").textContent = ending.code ?? "";
    part("back").hidden = !ending.back;
    if (ending.back) part("back").href = ending.back;
    show("thanks");
    part("thanks").focus();
  }

  /** An image that cannot be shown is no answer: the question is given back. */
  async fail(assignment) {
    part("reason").textContent = gettext(
      "An image did not arrive, or arrived damaged. Nothing is lost: check your connection and try again.",
    );
    show("failed");
    await this.connection.send("give-back", { assignment: assignment.token });
    if (!this.connection.isLinkKnown) this.tellUnknownLink();
    part("retry").focus();
  }

  // --- what is in the way

  /** Whether the window or the screen is not what a question needs; if so, says what to change. */
  block() {
    const unmet = unmetBy(settings.requirements);
    const obstacle = this.obstacle(unmet);
    this.isBlocked = obstacle !== null;
    if (!obstacle) return false;
    this.clock.stop();
    this.record.end();
    this.choose(null);
    this.current = null; // nothing is judged that cannot be seen
    const items = unmet.map((text) =>
      Object.assign(document.createElement("li"), { textContent: text }),
    );
    part("unmet-list").replaceChildren(...items);
    show(obstacle);
    return true;
  }

  obstacle(unmet) {
    if (!settings.requirements.phones && isPhone()) return "computer";
    if (unmet.length) return "unmet";
    return this.page.fitsWindow() ? null : "narrow";
  }

  /** Looks again, after the window or the screen has changed. */
  check() {
    if (!this.isBlocked && !isShowing("question")) return;
    const wasBlocked = this.isBlocked;
    if (this.block()) return;
    if (!wasBlocked && this.current) this.page.onResize();
    else if (!wasBlocked) return;
    else if (this.shown) this.present(this.shown.assignment, this.shown.images);
    else this.start();
  }

  // --- answers: from the choice to the server

  /** An answer was chosen; null: none any more. */
  choose(answer, at = performance.now()) {
    if (answer === null) {
      this.chosen = null;
      return this.sureness.toggle(false);
    }
    if (this.chosen || !this.clock.isOpen(at)) return;
    this.chosen = { answer, at };
    if (!settings.viewing.confidence) return this.give(null);
    this.record.note("chosen", at);
    this.sureness.toggle(true);
  }

  tellSureness(confidence, at) {
    if (this.chosen && at - this.chosen.at >= SOONEST_SURE_MS) this.give(confidence);
  }

  reconsider() {
    this.record.note("unchosen");
    this.choose(null);
  }

  give(confidence) {
    const assignment = this.current;
    const given = {
      assignment: assignment.token,
      answer: this.chosen.answer,
      response_ms: Math.min(Math.round(this.clock.elapsed(this.chosen.at)), DAY_MS),
      viewing: this.viewing(),
      events: this.record.events,
      confidence,
      remark: settings.viewing.remark ? this.remark.text : "",
    };
    this.outbox.add(given);
    this.answered.add(assignment.token);
    this.page.onAnswered(assignment);
    notice("");
    if (this.todo.stage) this.leave(); // its acknowledgement tells what comes next
    else this.advance();
    this.deliver();
  }

  async deliver() {
    this.tellConnection();
    if (this.outbox.isDelivering) return;
    await this.outbox.deliver((...answer) => this.acknowledge(...answer));
    this.tellConnection();
    if (!this.connection.isLinkKnown) return this.tellUnknownLink();
    // Another tab may have sent the last ones, and heard what comes next.
    const isAtRest = this.turn || this.afterFeedback || isShowing("thanks") || isShowing("failed");
    if (!isAtRest) await this.ask();
  }

  acknowledge(given, status, todo) {
    this.tellConnection();
    if (status === 409) {
      notice(this.page.words.placeTaken());
    } else if (status >= 400) {
      this.answered.delete(given.assignment);
      notice(gettext("The server did not take this answer. Please reload the page."));
    }
    if (!todo?.assignments) return;
    if (todo.feedback) this.tellFeedback(todo);
    else this.goOn(todo);
  }

  /** After a practice answer, beneath its pictures: what was right, until it was read. */
  tellFeedback(todo) {
    const { is_right: isRight, closest } = todo.feedback;
    this.afterFeedback = todo;
    part("feedback-words").textContent = this.page.words.feedback(isRight, closest);
    part("feedback").hidden = false;
    part("feedback-go-on").focus();
  }

  endFeedback() {
    const todo = this.afterFeedback;
    if (!todo) return;
    this.afterFeedback = null;
    part("feedback").hidden = true;
    this.goOn(todo);
  }

  /** Viewing conditions, as numbers; docs/judgments.md describes each. */
  viewing() {
    return {
      ...conditions(),
      view_width: this.stage.seen.width,
      view_height: this.stage.seen.height,
      flips: this.record.originals,
      hidden_ms: Math.min(Math.round(this.record.hiddenMs), DAY_MS),
      ...this.page.viewing(),
    };
  }

  // --- what is told

  tellProgress() {
    const done = this.todo.judged + this.outbox.size;
    part("progress-bar").value = done;
    part("progress").textContent = this.openAssignments().length ? this.progressWords(done) : "";
  }

  progressWords(done) {
    const { stage } = this.todo;
    if (!stage) return this.page.words.progress(Math.min(done + 1, this.total), this.total);
    const number = Math.min(stage.done + this.outbox.size + 1, stage.of);
    return interpolate(
      stage.name === "practice"
        ? gettext("Practice %(number)s of %(total)s")
        : gettext("Quiz %(number)s of %(total)s"),
      { number, total: stage.of },
    );
  }

  tellConnection() {
    const { isUp } = this.connection;
    const count = this.outbox.size;
    main.dataset.unsent = count;
    part("connection").hidden = isUp;
    part("connection").textContent = count
      ? interpolate(
          ngettext(
            "The connection is interrupted. Your answer is kept, and sent as soon as it works again.",
            "The connection is interrupted. Your %(count)s answers are kept, and sent as soon as it works again.",
            count,
          ),
          { count },
        )
      : gettext("The connection is interrupted. Answers are kept until it works again.");
    if (!isUp && !this.turn && isShowing("question")) show("waiting");
  }

  /** Tells whether answers are taken, or the pictures are to be looked at first. */
  open(isOpen) {
    this.isOpen = isOpen;
    part("quiet").textContent = isOpen
      ? ""
      : interpolate(gettext("Look first: answers are taken after %(seconds)s s."), {
          seconds: settings.viewing.minimum_s,
        });
    this.page.onState();
  }

  cover(isCovered) {
    if (isCovered) this.record.note("covered");
    this.isCovered = isCovered;
    main.toggleAttribute("data-covered", isCovered);
    part("cover").hidden = !isCovered;
    this.page.onState();
  }

  flip(toOriginal) {
    if (!this.current || toOriginal === this.stage.isFlipped) return;
    if (toOriginal && this.isCovered) return;
    this.record.note(toOriginal ? "original-on" : "original-off");
    this.stage.flip(toOriginal);
    this.tellFlip(toOriginal);
  }

  tellFlip(toOriginal) {
    main.toggleAttribute("data-flipped", toOriginal);
    for (const button of parts("flip")) button.setAttribute("aria-pressed", toOriginal);
    this.page.onFlip(toOriginal);
  }

  // --- keys, pointers, the window

  listen() {
    document.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.isSpaceHeld) return;
      event.preventDefault();
      this.letGo();
    });
    window.addEventListener("storage", () => this.tellConnection()); // another tab sent an answer
    window.addEventListener("blur", () => this.letGo()); // a key let go elsewhere is not seen here
    watchConditions(() => this.check());
    // What a pointer presses gets no focus: the next Space is for the pictures, not to press it again.
    main.addEventListener("mousedown", (event) => {
      if (!event.target.closest("button")) return;
      event.preventDefault();
      document.activeElement?.blur();
    });
    for (const button of parts("flip")) {
      for (const [event, toOriginal] of [
        ["pointerdown", true],
        ["pointerup", false],
        ["pointerleave", false],
        ["pointercancel", false],
      ]) {
        button.addEventListener(event, () => this.flip(toOriginal));
      }
      button.addEventListener("click", (event) => {
        if (event.detail === 0) this.flip(!this.stage.isFlipped); // no pointer's, which holds it
      });
      button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    }
    part("retry").addEventListener("click", () => this.start());
    part("feedback-go-on").addEventListener("click", () => this.endFeedback());
  }

  press(event) {
    if (!this.current || event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const key = keyOf(event);
    if ((key === " " || key === "Enter") && event.target.closest("button")) {
      if (key === "Enter" && event.repeat) event.preventDefault(); // held, it would press on and on
      return; // it presses that button
    }
    const isShifted = event.shiftKey && key !== "+"; // which needs Shift on many keyboards
    if (event.shiftKey && key in PAN_KEYS) {
      event.preventDefault();
      this.stage.panBy(...PAN_KEYS[key]);
    } else if (key === " ") {
      event.preventDefault(); // it would scroll
      this.isSpaceHeld = true;
      if (!event.repeat) this.flip(true);
    } else if (!isShifted && this.use(key, event)) {
      event.preventDefault();
    }
  }

  letGo() {
    this.isSpaceHeld = false;
    this.flip(false);
  }

  use(key, event) {
    if (this.chosen && this.sureness.press(key, event)) return true;
    if (key === "r" && settings.viewing.remark) {
      this.remark.toggle(true);
      return true;
    }
    return this.page.onKey(key, event);
  }
}
