// The judging screen: <main data-judge="/judge/TOKEN/" data-total="10"> and the parts inside it.
//
// A pair is shown once all of it has decoded; the next one loads meanwhile. The answer is sent until
// the server acknowledges it, and only then does the next pair appear.

import { Stage, load } from "./stage.js";

const SOONEST_ANSWER_MS = 300; // sooner, nobody can have looked: a double click, a held key
const DAY_MS = 24 * 3600 * 1000; // longer than anybody judges, and all that the server takes
const NARROWEST_PX = 700; // three pictures side by side need so much
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

const main = document.querySelector("[data-judge]");
const part = (name) => main.querySelector(`[data-${name}]`);
const address = main.dataset.judge;
const total = Number(main.dataset.total);
const answerButtons = [...main.querySelectorAll("[data-closest]")];

const stage = new Stage(part("stage"), {
  answers: [...part("answers").children],
  onPannable: (pannable) => (part("pan-hint").hidden = !pannable),
});
const loaded = new Map(); // assignment token -> promise of its images

let shown = null; // the pair whose turn it is, with its images
let current = null; // the assignment on the screen
let paintedAt = null; // when it was painted; null: no answer is taken now
let flips = 0;
let hiddenMs = 0;
let hiddenSince = null;

function show(name) {
  for (const each of ["pair", "loading", "failed", "narrow", "thanks"]) part(each).hidden = each !== name;
}

function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}

/** Sends until the server answers; returns [status, body]. */
async function send(path, body) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await fetch(address + path, {
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

function preload(assignments) {
  const tokens = new Set(assignments.map((assignment) => assignment.token));
  for (const token of loaded.keys()) if (!tokens.has(token)) loaded.delete(token);
  for (const assignment of assignments) {
    if (!loaded.has(assignment.token)) {
      const images = load(assignment);
      images.catch(() => {}); // told when its turn comes
      loaded.set(assignment.token, images);
    }
  }
}

async function goOn(todo) {
  part("progress-bar").value = todo.judged;
  const [next] = todo.assignments;
  if (!next) return finish(todo);
  part("progress").textContent = `Pair ${Math.min(todo.judged + 1, total)} of ${total}`;
  preload(todo.assignments);
  let images;
  try {
    images = await loaded.get(next.token);
  } catch {
    return fail(next);
  }
  await present(next, images);
}

/** Puts a pair on the screen and starts its clock, if the window has room for it. */
async function present(assignment, images) {
  shown = { assignment, images };
  if (window.innerWidth < NARROWEST_PX) {
    current = paintedAt = null; // nothing is judged that cannot be seen
    return show("narrow");
  }
  current = assignment;
  show("pair");
  paintedAt = await stage.present(assignment, images);
  flips = 0;
  hiddenMs = 0;
  hiddenSince = document.hidden ? paintedAt : null;
  main.dataset.painted = assignment.token;
}

function finish(todo) {
  current = shown = null;
  part("progress").textContent = "";
  part("thanks-count").textContent =
    todo.judged === 1 ? "You judged 1 pair." : `You judged ${todo.judged} pairs.`;
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

/** An image that cannot be shown is no answer: the pair is given back. */
async function fail(assignment) {
  loaded.delete(assignment.token);
  part("reason").textContent =
    "An image did not arrive, or arrived damaged. Nothing is lost: check your connection and try again.";
  show("failed");
  await send("give-back", { assignment: assignment.token });
  part("retry").focus();
}

async function start() {
  show("loading");
  const [status, todo] = await send("next", {});
  if (status !== 200) {
    part("reason").textContent = "This link is not known here. Please ask for a new one.";
    return show("failed");
  }
  return goOn(todo);
}

async function answer(closest) {
  if (paintedAt === null) return;
  const responseMs = performance.now() - paintedAt;
  if (responseMs < SOONEST_ANSWER_MS) return;
  paintedAt = null; // one answer a pair
  const [status, todo] = await send("judgments", {
    assignment: current.token,
    closest,
    response_ms: Math.min(Math.round(responseMs), DAY_MS),
    viewing: viewing(),
  });
  if (status === 409) {
    notice("You were away for long, and others have judged that pair meanwhile. Here is another.");
  } else if (status >= 400) {
    notice("The server did not take this answer. Please reload the page.");
    return;
  }
  await goOn(todo);
}

/** Viewing conditions, as numbers; docs/judgments.md describes each. */
function viewing() {
  return {
    device_pixel_ratio: window.devicePixelRatio,
    viewport_width: window.innerWidth,
    viewport_height: window.innerHeight,
    screen_width: window.screen.width,
    screen_height: window.screen.height,
    view_width: stage.view.width,
    view_height: stage.view.height,
    flips,
    hidden_ms: Math.min(Math.round(hiddenMs), DAY_MS),
  };
}

function flip(toOriginal) {
  if (!current) return;
  if (toOriginal) flips += 1;
  stage.flip(toOriginal);
  main.toggleAttribute("data-flipped", toOriginal);
}

const ANSWER_KEYS = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right" };
const PAN_KEYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

document.addEventListener("keydown", (event) => {
  if (!current || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.shiftKey && event.key in PAN_KEYS) {
    event.preventDefault();
    stage.panBy(...PAN_KEYS[event.key]);
  } else if (event.key === " ") {
    event.preventDefault(); // it would press a focused button
    if (!event.repeat) flip(true);
  } else if (event.key in ANSWER_KEYS && !event.shiftKey) {
    event.preventDefault();
    if (!event.repeat) answer(ANSWER_KEYS[event.key]);
  }
});
document.addEventListener("keyup", (event) => {
  if (current && event.key === " ") {
    event.preventDefault();
    flip(false);
  }
});
window.addEventListener("blur", () => flip(false)); // a key let go elsewhere is not seen here
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenSince = performance.now();
  else if (hiddenSince !== null) {
    hiddenMs += performance.now() - hiddenSince;
    hiddenSince = null;
  }
});

window.addEventListener("resize", () => {
  const isNarrow = window.innerWidth < NARROWEST_PX;
  if (shown && isNarrow === Boolean(current)) present(shown.assignment, shown.images);
});

for (const button of answerButtons) {
  button.addEventListener("click", () => answer(button.dataset.closest));
}
for (const [event, toOriginal] of [
  ["pointerdown", true],
  ["pointerup", false],
  ["pointerleave", false],
]) {
  part("flip").addEventListener(event, () => flip(toOriginal));
}
part("retry").addEventListener("click", start);

start();
