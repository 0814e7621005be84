// What the judging pages share: <main data-judge="/judge/TOKEN/" data-total="10"> and its parts.
//
// A question is shown once all of it has decoded; the next one loads meanwhile. The answer is sent
// until the server acknowledges it, and only then does the next question appear; until then the
// browser keeps it, so that a page that is closed meanwhile loses nothing.

import { Stage, load } from "./stage.js";

const SOONEST_ANSWER_MS = 300; // sooner, nobody can have looked: a double click, a held key
const DAY_MS = 24 * 3600 * 1000; // longer than anybody judges, and all that the server takes
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const PAN_KEYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const main = document.querySelector("[data-judge]");
export const part = (name) => main.querySelector(`[data-${name}]`);

export class Judging {
  /**
   * What a page adds:
   *   noun, nouns     what is judged, as the page says it: "pair", "pairs"
   *   narrowestPx     the narrowest window in which it can be judged
   *   columns         how many pictures are on the screen at once (stage.js)
   *   positions       (assignment) => what each view can show (stage.js)
   *   describe        (position) => a picture's text alternative
   *   onPresent       (assignment) => called before a question is painted; may return, by view, the
   *                   position that is shown first
   *   onKey           (key, event) => true if the key was its own; `key` as keyOf gives it
   *   onAcknowledged  (assignment) => called when an answer is stored
   *   viewing         () => numbers stored with the answer besides those that all pages give
   */
  constructor(page) {
    this.page = {
      onPresent: () => ({}),
      onAcknowledged: () => {},
      viewing: () => ({}),
      ...page,
    };
    this.address = main.dataset.judge;
    this.total = Number(main.dataset.total);
    this.stage = new Stage(part("stage"), {
      captions: [...part("captions").children],
      onPannable: (pannable) => (part("pan-hint").hidden = !pannable),
      columns: page.columns,
    });
    this.unsent = kept(`unsent-answer ${this.address}`);
    this.loaded = new Map(); // assignment token -> promise of its images
    this.shown = null; // the question whose turn it is, with its images
    this.current = null; // the assignment on the screen
    this.paintedAt = null; // when it was painted; null: no answer is taken now
    this.flips = 0;
    this.hiddenMs = 0;
    this.hiddenSince = null;
    this.listen();
  }

  get takesAnswers() {
    return this.paintedAt !== null;
  }

  async start() {
    show("loading");
    const unsent = this.unsent.read();
    if (unsent) {
      // The page was closed before the server had this answer; sent twice, it is one judgment.
      const [status, todo] = await this.send("judgments", unsent);
      this.unsent.clear();
      if (todo?.assignments) {
        if (status === 409) this.tellPlaceTaken();
        return this.goOn(todo);
      }
    }
    const [status, todo] = await this.send("next", {});
    if (status !== 200) {
      part("reason").textContent = "This link is not known here. Please ask for a new one.";
      return show("failed");
    }
    return this.goOn(todo);
  }

  /** Sends until the server answers; returns [status, body]. */
  async send(path, body) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const response = await fetch(this.address + path, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        });
        if (response.status < 500) {
          notice("");
          const isJson = response.headers.get("Content-Type")?.includes("json");
          return [response.status, isJson ? await response.json() : null];
        }
      } catch {
        // No connection: try again below.
      }
      notice("The connection is interrupted. Your answer is kept, and sent again as soon as it works.");
      const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  preload(assignments) {
    const tokens = new Set(assignments.map((assignment) => assignment.token));
    for (const token of this.loaded.keys()) if (!tokens.has(token)) this.loaded.delete(token);
    for (const assignment of assignments) {
      if (!this.loaded.has(assignment.token)) {
        const images = load(assignment, this.page.positions(assignment), this.page.describe);
        images.catch(() => {}); // told when its turn comes
        this.loaded.set(assignment.token, images);
      }
    }
  }

  async goOn(todo) {
    part("progress-bar").value = todo.judged;
    const [next] = todo.assignments;
    if (!next) return this.finish(todo);
    const noun = this.page.noun[0].toUpperCase() + this.page.noun.slice(1);
    part("progress").textContent = `${noun} ${Math.min(todo.judged + 1, this.total)} of ${this.total}`;
    this.preload(todo.assignments);
    let images;
    try {
      images = await this.loaded.get(next.token);
    } catch {
      return this.fail(next);
    }
    await this.present(next, images);
  }

  /** Puts a question on the screen and starts its clock, if the window has room for it. */
  async present(assignment, images) {
    this.shown = { assignment, images };
    if (this.isNarrow()) {
      this.current = this.paintedAt = null; // nothing is judged that cannot be seen
      return show("narrow");
    }
    this.current = assignment;
    show("question");
    const first = this.page.onPresent(assignment);
    this.paintedAt = await this.stage.present(assignment, images, first);
    this.flips = 0;
    this.hiddenMs = 0;
    this.hiddenSince = document.hidden ? this.paintedAt : null;
    main.dataset.painted = assignment.token;
  }

  isNarrow() {
    return window.innerWidth < this.page.narrowestPx;
  }

  finish(todo) {
    this.current = this.shown = null;
    const { noun, nouns } = this.page;
    part("progress").textContent = "";
    part("thanks-count").textContent =
      todo.judged === 1 ? `You judged 1 ${noun}.` : `You judged ${todo.judged} ${nouns}.`;
    if (!todo.judged) {
      part("thanks-title").textContent = "Nothing to judge at present";
      part("thanks-count").textContent = todo.is_open
        ? "Others are judging what is left, or have finished. Please come back later by the same link."
        : "This study takes no answers at present.";
    }
    part("thanks-more").hidden = !todo.judged;
    show("thanks");
    part("thanks").focus();
  }

  /** An image that cannot be shown is no answer: the question is given back. */
  async fail(assignment) {
    this.loaded.delete(assignment.token);
    part("reason").textContent =
      "An image did not arrive, or arrived damaged. Nothing is lost: check your connection and try again.";
    show("failed");
    await this.send("give-back", { assignment: assignment.token });
    part("retry").focus();
  }

  async answer(answer) {
    if (!this.takesAnswers) return;
    const responseMs = performance.now() - this.paintedAt;
    if (responseMs < SOONEST_ANSWER_MS) return;
    this.paintedAt = null; // one answer a question
    const given = {
      assignment: this.current.token,
      answer,
      response_ms: Math.min(Math.round(responseMs), DAY_MS),
      viewing: this.viewing(),
    };
    this.unsent.write(given);
    const [status, todo] = await this.send("judgments", given);
    this.unsent.clear();
    if (status === 409) {
      this.tellPlaceTaken();
    } else if (status >= 400) {
      notice("The server did not take this answer. Please reload the page.");
      return;
    }
    this.page.onAcknowledged(this.current);
    await this.goOn(todo);
  }

  tellPlaceTaken() {
    notice(`You were away for long, and others have judged that ${this.page.noun} meanwhile. Here is another.`);
  }

  /** Viewing conditions, as numbers; docs/judgments.md describes each. */
  viewing() {
    return {
      device_pixel_ratio: window.devicePixelRatio,
      viewport_width: window.innerWidth,
      viewport_height: window.innerHeight,
      screen_width: window.screen.width,
      screen_height: window.screen.height,
      view_width: this.stage.view.width,
      view_height: this.stage.view.height,
      flips: this.flips,
      hidden_ms: Math.min(Math.round(this.hiddenMs), DAY_MS),
      ...this.page.viewing(),
    };
  }

  flip(toOriginal) {
    if (!this.current || toOriginal === this.stage.isFlipped) return;
    if (toOriginal) this.flips += 1;
    this.stage.flip(toOriginal);
    main.toggleAttribute("data-flipped", toOriginal);
  }

  listen() {
    document.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("keyup", (event) => {
      if (this.current && event.key === " ") {
        event.preventDefault();
        this.flip(false);
      }
    });
    window.addEventListener("blur", () => this.flip(false)); // a key let go elsewhere is not seen here
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.hiddenSince = performance.now();
      else if (this.hiddenSince !== null) {
        this.hiddenMs += performance.now() - this.hiddenSince;
        this.hiddenSince = null;
      }
    });
    window.addEventListener("resize", () => {
      const { shown, current } = this;
      if (shown && this.isNarrow() === Boolean(current)) this.present(shown.assignment, shown.images);
    });
    for (const [event, toOriginal] of [
      ["pointerdown", true],
      ["pointerup", false],
      ["pointerleave", false],
      ["pointercancel", false],
    ]) {
      part("flip").addEventListener(event, () => this.flip(toOriginal));
    }
    part("flip").addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    part("retry").addEventListener("click", () => this.start());
  }

  press(event) {
    if (!this.current || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && event.key in PAN_KEYS) {
      event.preventDefault();
      this.stage.panBy(...PAN_KEYS[event.key]);
    } else if (event.key === " ") {
      event.preventDefault(); // it would press a focused button
      if (!event.repeat) this.flip(true);
    } else if (!event.shiftKey && this.page.onKey(keyOf(event), event)) {
      event.preventDefault();
    }
  }
}

/**
 * The key that was meant: a digit also where the layout has it under Shift (French), a letter in
 * lower case, by its place where the layout has no Latin letters.
 */
function keyOf({ key, code }) {
  if (key.length > 1) return key;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit) return digit[1];
  const letter = /^Key([A-Z])$/.exec(code);
  return letter && key.charCodeAt(0) > 127 ? letter[1].toLowerCase() : key.toLowerCase();
}

/** Something that this browser keeps for this page, also when it is closed; null if it cannot. */
export function kept(name) {
  const tried = (act) => {
    try {
      return act();
    } catch {
      return null; // a browser may keep nothing, or hold something else
    }
  };
  return {
    read: () => tried(() => JSON.parse(localStorage.getItem(name))),
    write: (value) => tried(() => localStorage.setItem(name, JSON.stringify(value))),
    clear: () => tried(() => localStorage.removeItem(name)),
  };
}

function show(name) {
  for (const each of ["question", "loading", "failed", "narrow", "thanks"]) {
    part(each).hidden = each !== name;
  }
}

export function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}
