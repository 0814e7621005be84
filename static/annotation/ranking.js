// The judging page of rankings: several copies, ordered from the closest to the original to the
// farthest. One copy at a time stands beside the original; the tray below holds them all.

import { Judging } from "./judging.js";
import { isTied, moveBy, moveTo, placeOf, toggleTie } from "./order.js";
import { enable, kept, part } from "./parts.js";
import { Tray } from "./tray.js";
import { gettext, interpolate, ngettext } from "./words.js";

const NARROWEST_PX = 320;
const SIDE_BY_SIDE_PX = 700; // in a narrower window the original is seen in the copy's place alone

const letter = (position) => String.fromCharCode(64 + Number(position)); // "1" -> "A", as shown
const isCopy = (position) => position !== "original";
const nameOf = (position) => interpolate(gettext("Copy %(letter)s"), { letter: letter(position) });
const allowsTies = Boolean(part("tie"));

// Of the question on the screen:
let positions = []; // "1" to "n"
let order = []; // places (order.js)
let seen = new Set(); // copies that were looked at
let selected = null;
let selections = 0;
let moves = 0;
let lifted = null; // the order when a drag began

const draftOf = (assignment) => kept(`ranking-draft ${assignment.token}`);

function readDraft(assignment) {
  const draft = draftOf(assignment).read();
  try {
    return draft && isDraftOf(assignment, draft) ? draft : null;
  } catch {
    return null; // something else lies under this name
  }
}

function isDraftOf(assignment, draft) {
  const own = copiesOf(assignment);
  const isOwn = (copies) => copies.every((each) => own.includes(each));
  const flat = draft.order.flat();
  return (
    flat.length === own.length &&
    new Set(flat).size === own.length &&
    isOwn([...flat, ...draft.seen, draft.selected]) &&
    (allowsTies || draft.order.length === own.length)
  );
}

function copiesOf(assignment) {
  return Object.keys(assignment.images).filter(isCopy);
}

const judging = new Judging({
  words: {
    progress: (number, total) =>
      interpolate(gettext("Set %(number)s of %(total)s"), { number, total }),
    judged: (count) =>
      interpolate(ngettext("You judged %(count)s set.", "You judged %(count)s sets.", count), {
        count,
      }),
    feedback: (isRight, closest) =>
      interpolate(
        isRight
          ? gettext("Yes. %(copy)s is closest to the original.")
          : gettext("Not this time: %(copy)s is closest to the original."),
        { copy: nameOf(closest) },
      ),
    placeTaken: () =>
      gettext("You were away for long, and others have judged that set meanwhile. Here is another."),
  },
  fitsWindow: () => window.innerWidth >= NARROWEST_PX,
  showing: (fits) =>
    window.innerWidth >= SIDE_BY_SIDE_PX || fits(2) ? ["original", "copy"] : ["copy"],
  positions: (assignment) => ({ original: ["original"], copy: copiesOf(assignment) }),
  describe: (position) => (isCopy(position) ? nameOf(position) : gettext("The original")),
  onPresent: begin,
  onKey: press,
  onState: () => positions.length && render(),
  onAnswered: (assignment) => draftOf(assignment).clear(),
  firstEvents: () => [`show-${selected}`],
  viewing: () => ({ selections, moves }),
});
const tray = new Tray(part("tray"), { onSelect: select, onDrag: drag, onDrop: drop });

function begin(assignment) {
  positions = copiesOf(assignment);
  const draft = readDraft(assignment);
  order = draft?.order ?? positions.map((position) => [position]);
  selected = draft?.selected ?? positions[0];
  seen = new Set(draft?.seen ?? [selected]);
  selections = draft?.selections ?? 1;
  moves = draft?.moves ?? 0;
  lifted = null;
  tray.present(
    positions.map((copy) => ({ copy, name: letter(copy), src: assignment.images[copy] })),
  );
  part("last-place").textContent = positions.length;
  part("digits").textContent = `1–${positions.length}`;
  say("");
  render();
  tray.focus(selected);
  return { copy: selected };
}

function render() {
  const cards = order.flat().map((copy) => {
    const place = placeOf(order, copy);
    const isShared = order[place - 1].length > 1;
    const isNew = !seen.has(copy);
    const label = labelOf(copy, { place, isShared, isNew });
    return { copy, place, isShared, isTied: isTied(order, copy), isNew, label };
  });
  tray.render(cards, selected);
  part("copy-name").textContent = nameOf(selected);
  const flat = order.flat();
  enable(part("closer"), flat[0] !== selected || isSharing(selected));
  enable(part("farther"), flat.at(-1) !== selected || isSharing(selected));
  if (allowsTies) {
    enable(part("tie"), flat[0] !== selected);
    part("tie-words").textContent = isTied(order, selected)
      ? gettext("Untie from previous")
      : gettext("Tie with previous");
  }
  const left = placesToLookAt();
  enable(part("done"), left.length === 0 && judging.isOpen);
  part("done-words").textContent = left.length ? notLookedAt(left) : gettext("This is my order");
}

function labelOf(copy, { place, isShared, isNew }) {
  const words = interpolate(gettext("%(copy)s, place %(place)s of %(places)s"), {
    copy: nameOf(copy),
    place,
    places: order.length,
  });
  const more = [isShared && gettext("shared"), isNew && gettext("not looked at yet")];
  return [words, ...more.filter(Boolean)].join(", ");
}

/** Those of copies that were not looked at; none when they are covered and cannot be any more. */
function placesToLookAt() {
  if (judging.isCovered) return [];
  const left = order.flat().filter((copy) => !seen.has(copy));
  return left.map((copy) => placeOf(order, copy));
}

function isSharing(copy) {
  return order[placeOf(order, copy) - 1].length > 1;
}

function notLookedAt(left) {
  return interpolate(
    ngettext("Not looked at yet: place %(places)s", "Not looked at yet: places %(places)s", left.length),
    { places: left.join(", ") },
  );
}

/** Tells it to who cannot see the cards change. */
function say(text) {
  part("said").textContent = text;
}

function keep() {
  render();
  draftOf(judging.current).write({ order, seen: [...seen], selected, selections, moves });
}

function select(copy) {
  if (!judging.isAsking || copy === selected) return;
  selected = copy;
  selections += 1;
  if (!judging.isCovered) seen.add(copy);
  judging.record.note(`show-${copy}`);
  judging.stage.show("copy", copy);
  keep();
}

function selectByKey(copy) {
  if (!copy) return;
  select(copy);
  tray.focus(selected);
}

/** Changes the order around the selected copy and tells what came of it. */
function change(changed) {
  const isSame = JSON.stringify(changed) === JSON.stringify(order);
  if (!judging.isAsking || isSame) return;
  order = changed;
  moves += 1;
  judging.record.note("moved");
  keep();
  tellPlace();
}

function tellPlace() {
  const place = placeOf(order, selected);
  const others = order[place - 1].filter((copy) => copy !== selected).map(letter);
  const text = others.length
    ? gettext("%(copy)s moved to place %(place)s of %(places)s, shared with %(others)s.")
    : gettext("%(copy)s moved to place %(place)s of %(places)s.");
  const values = { copy: nameOf(selected), place, places: order.length, others: others.join(", ") };
  say(interpolate(text, values));
}

function drag(copy, index) {
  if (!judging.isAsking) return;
  lifted ??= order;
  const isBack = lifted.flat()[index] === copy; // where it was: it also keeps what it shared
  order = isBack ? lifted : moveTo(lifted, copy, index);
  render();
}

function drop() {
  const [before, after] = [lifted, order];
  lifted = null;
  if (!before) return;
  order = before;
  change(after);
}

function submit(event) {
  const left = placesToLookAt();
  if (left.length) say(notLookedAt(left));
  else judging.choose(positions.map((copy) => placeOf(order, copy)), event.timeStamp);
}

function press(key, event) {
  const flat = order.flat();
  const at = flat.indexOf(selected);
  const actions = {
    ArrowLeft: () => selectByKey(flat[at - 1]),
    ArrowRight: () => selectByKey(flat[at + 1]),
    Home: () => selectByKey(flat[0]),
    End: () => selectByKey(flat.at(-1)),
    c: () => change(moveBy(order, selected, -1)),
    f: () => change(moveBy(order, selected, 1)),
  };
  if (allowsTies) actions.t = () => change(toggleTie(order, selected));
  if (key === "Enter") {
    if (!event.repeat) submit(event);
    return true;
  }
  if (/^[1-9]$/.test(key)) {
    // The copy at that place; where several share it, one after the other.
    const sharing = order[Number(key) - 1] ?? [];
    selectByKey(sharing[(sharing.indexOf(selected) + 1) % sharing.length]);
    return true;
  }
  actions[key]?.();
  return key in actions;
}

for (const [name, act] of [
  ["closer", () => change(moveBy(order, selected, -1))],
  ["farther", () => change(moveBy(order, selected, 1))],
  ["tie", () => change(toggleTie(order, selected))],
]) {
  part(name)?.addEventListener("click", (event) => {
    act();
    if (event.detail) tray.focus(selected); // pressed by a pointer: the keys go on in the tray
  });
}
part("done").addEventListener("click", submit);

judging.start();
