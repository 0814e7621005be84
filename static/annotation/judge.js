// The judging page of pairs (2AFC): which of two copies is closer to the original between them?

import { Judging } from "./judging.js";

const ANSWER_KEYS = {
  1: "left",
  ArrowLeft: "left",
  2: "right",
  ArrowRight: "right",
  3: "tie",
  ArrowDown: "tie",
};
const buttons = new Map(
  [...document.querySelectorAll("[data-closest]")].map((each) => [each.dataset.closest, each]),
);

const judging = new Judging({
  noun: "pair",
  nouns: "pairs",
  narrowestPx: 700, // three pictures side by side need so much
  columns: () => 3,
  positions: () => ({ left: ["left"], original: ["original"], right: ["right"] }),
  describe: (position) => (position === "original" ? "The original" : `The ${position} copy`),
  onKey: (key, event) => {
    const answer = ANSWER_KEYS[key];
    if (!buttons.has(answer)) return false; // "no difference" where the campaign does not allow it
    if (!event.repeat) judging.answer(answer);
    return true;
  },
});

for (const [answer, button] of buttons) button.addEventListener("click", () => judging.answer(answer));

judging.start();
