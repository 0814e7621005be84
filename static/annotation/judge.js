// The judging page of pairs (2AFC): which of two copies is closer to the original?
//
// There are three ways to view them. "side by side": the original between the copies. "inspect": the
// same, with a zoom. "flip": one place, in which the left copy (A), the right one (B) and the
// original take turns.

import { Judging } from "./judging.js";
import { enable, kept, main, part, parts, settings } from "./parts.js";
import { gettext, interpolate, ngettext } from "./words.js";

const [SIDE_BY_SIDE, FLIP, INSPECT] = ["side by side", "flip", "inspect"];
const SIDE_BY_SIDE_PX = 700; // three pictures side by side need so much
const NARROWEST_PX = 300;
const MOST_ZOOM = 8;
const WHEEL_PX = 50; // of a wheel or a touchpad, for one step of zoom
const DIGITS = { 1: "left", 2: "right", 3: "tie" };

const ways = settings.viewing.views;
// Where flip is one of the ways they look, in flip; in the others they must not answer by habit.
const ARROWS = ways.includes(FLIP)
  ? {}
  : { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
const keptWay = kept(`way ${main.dataset.judge}`);
const buttons = new Map(parts("closest").map((each) => [each.dataset.closest, each]));
let chosenWay = ways.includes(keptWay.read()) ? keptWay.read() : ways[0];
let wheel = 0;

/** The way to view that the window has room for: the chosen one, or flip; null: none. */
function way() {
  if (window.innerWidth < NARROWEST_PX) return null;
  if (chosenWay === FLIP || window.innerWidth >= SIDE_BY_SIDE_PX) return chosenWay;
  return ways.includes(FLIP) ? FLIP : null;
}

/** What a copy is called: by its side, or in one place by a letter. */
function nameOf(position, isInPlace = way() === FLIP) {
  if (isInPlace) return position === "left" ? gettext("Copy A") : gettext("Copy B");
  return position === "left" ? gettext("The left copy") : gettext("The right copy");
}

const judging = new Judging({
  words: {
    progress: (number, total) =>
      interpolate(gettext("Pair %(number)s of %(total)s"), { number, total }),
    judged: (count) =>
      interpolate(ngettext("You judged %(count)s pair.", "You judged %(count)s pairs.", count), {
        count,
      }),
    feedback: (isRight, closest) => {
      const copy = nameOf(closest);
      return isRight
        ? interpolate(gettext("Yes. %(copy)s is closer to the original."), { copy })
        : interpolate(
            gettext("Not this time: the other one is closer. %(copy)s is more like the original."),
            { copy },
          );
    },
    placeTaken: () =>
      gettext("You were away for long, and others have judged that pair meanwhile. Here is another."),
  },
  fitsWindow: () => way() !== null,
  showing: () => (way() === FLIP ? ["place"] : ["left", "original", "right"]),
  positions: () => ({
    ...(ways.includes(FLIP) && { place: ["left", "right", "original"] }),
    ...(ways.some((each) => each !== FLIP) && {
      left: ["left"],
      original: ["original"],
      right: ["right"],
    }),
  }),
  describe: (position, view) =>
    position === "original" ? gettext("The original") : nameOf(position, view === "place"),
  onPresent: () => {
    tellWay();
    tellZoom(1);
    return { place: "left" };
  },
  onKey: press,
  onFlip: tellFace,
  onPannable: (isPannable) => (part("pan-hint").hidden = !isPannable || way() === INSPECT),
  onResize: () => {
    if (way() === main.dataset.way) judging.stage.arrange();
    else changeWay();
  },
  onState: () => {
    for (const button of buttons.values()) enable(button, judging.isOpen);
  },
  firstEvents: () => [wayCode()],
});

function press(key, event) {
  const looks = {
    ...(ways.length > 1 && { v: () => chooseWay(ways[(ways.indexOf(way()) + 1) % ways.length]) }),
    ...(way() === FLIP && {
      a: () => showFace("left"),
      b: () => showFace("right"),
      ArrowLeft: () => showFace("left"),
      ArrowRight: () => showFace("right"),
    }),
    ...(way() === INSPECT && {
      "+": () => zoomBy(1),
      "=": () => zoomBy(1),
      "-": () => zoomBy(-1),
    }),
  };
  if (key in looks) {
    looks[key]();
    return true;
  }
  const answer = DIGITS[key] ?? ARROWS[key];
  if (!buttons.has(answer)) return false; // "no difference" where the campaign does not allow it
  if (!event.repeat) judging.choose(answer, event.timeStamp);
  return true;
}

// --- ways to view

const wayCode = () => `view-${way().replaceAll(" ", "-")}`;

function chooseWay(name) {
  chosenWay = name;
  keptWay.write(name);
  if (way() !== main.dataset.way) changeWay();
}

function changeWay() {
  judging.record.note(wayCode());
  tellWay();
  setZoom(1);
}

function tellWay() {
  main.dataset.way = way();
  part("ways").hidden = ways.length < 2 || window.innerWidth < SIDE_BY_SIDE_PX;
  for (const button of parts("way-name")) {
    button.setAttribute("aria-pressed", button.dataset.wayName === way());
  }
}

for (const button of parts("way-name")) {
  button.hidden = !ways.includes(button.dataset.wayName);
  button.addEventListener("click", () => judging.current && chooseWay(button.dataset.wayName));
}
part("ways").append(...ways.map((name) => main.querySelector(`[data-way-name="${name}"]`)));

// --- flip

function showFace(position) {
  judging.flip(false); // a button may have left it with the original
  if (position === judging.stage.shown.place) return;
  judging.record.note(position === "left" ? "show-a" : "show-b");
  judging.stage.show("place", position);
  tellFace();
}

function tellFace() {
  const { isFlipped, shown } = judging.stage;
  for (const button of parts("face")) {
    button.setAttribute("aria-pressed", !isFlipped && button.dataset.face === shown.place);
  }
}

for (const button of parts("face")) {
  const choose = () => judging.current && showFace(button.dataset.face);
  button.addEventListener("pointerdown", choose);
  button.addEventListener("click", choose); // by keyboard
}

// --- inspect

function zoomBy(step, point) {
  const zoom = Math.min(Math.max(judging.stage.zoom + step, 1), MOST_ZOOM);
  if (zoom === judging.stage.zoom) return;
  judging.record.note(`zoom-${zoom}`);
  setZoom(zoom, point);
}

function setZoom(zoom, point) {
  judging.stage.zoomTo(zoom, point);
  tellZoom(zoom);
}

function tellZoom(zoom) {
  part("zoom").textContent = `${zoom}×`;
  enable(part("zoom-in"), zoom < MOST_ZOOM);
  enable(part("zoom-out"), zoom > 1);
}

part("zoom-in").addEventListener("click", () => judging.current && zoomBy(1));
part("zoom-out").addEventListener("click", () => judging.current && zoomBy(-1));
part("stage").addEventListener(
  "wheel",
  (event) => {
    if (!judging.current || way() !== INSPECT) return;
    event.preventDefault();
    const isPinch = event.ctrlKey; // as browsers tell a pinch on a touchpad, in small steps
    wheel += event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : isPinch ? 10 : 1);
    if (Math.abs(wheel) < WHEEL_PX) return;
    zoomBy(wheel < 0 ? 1 : -1, { x: event.clientX, y: event.clientY });
    wheel = 0;
  },
  { passive: false },
);

for (const [answer, button] of buttons) {
  button.addEventListener("click", (event) => judging.choose(answer, event.timeStamp));
}

judging.start();
