// The tray of a ranking: a listbox of cards in their order, one a copy, which can be dragged.

import { gettext } from "./words.js";

const DRAG_FROM_PX = 6; // less is a click or a tap

export class Tray {
  /**
   * onSelect(copy): a card was pressed. onDrag(copy, index): it is over that index of the order.
   * onDrop(copy): it was let go after a drag.
   */
  constructor(element, { onSelect, onDrag, onDrop }) {
    this.element = element;
    this.handlers = { onSelect, onDrag, onDrop };
    this.cards = new Map(); // copy -> its card
    element.addEventListener("pointerdown", (event) => this.press(event));
  }

  /** Makes the cards of `copies`: [{copy, name, src}]. */
  present(copies) {
    this.cards = new Map(copies.map((each) => [each.copy, makeCard(each)]));
    this.element.replaceChildren(...this.cards.values());
  }

  /** Shows cards = [{copy, place, isShared, isTied, isNew, label}] in their order. */
  render(cards, selected) {
    const before = cards.findIndex((each) => each.copy === selected);
    const still = this.cards.get(selected); // moving it would take its focus and end its drag
    cards.forEach(({ copy, place, isShared, isTied, isNew, label }, i) => {
      const card = this.cards.get(copy);
      if (i < before) this.element.insertBefore(card, still);
      else if (i > before) this.element.append(card);
      card.querySelector("[data-place]").textContent = isShared ? `${place} =` : place;
      card.toggleAttribute("data-tied", isTied);
      card.toggleAttribute("data-new", isNew);
      card.setAttribute("aria-label", label);
      card.setAttribute("aria-selected", copy === selected);
      card.tabIndex = copy === selected ? 0 : -1;
    });
  }

  focus(copy) {
    this.cards.get(copy).focus();
  }

  press(start) {
    const card = start.target.closest("[role=option]");
    if (!card || start.button !== 0 || this.element.hasAttribute("data-dragging")) return;
    const copy = card.dataset.copy;
    this.handlers.onSelect(copy);
    const ended = new AbortController();
    const { signal } = ended;
    let isDragged = false;
    // Where it was taken, from its place in the layout.
    const taken = { x: start.clientX - card.offsetLeft, y: start.clientY - card.offsetTop };
    const scrolled = { x: window.scrollX, y: window.scrollY };
    const move = (event) => {
      if (event.pointerId !== start.pointerId) return;
      const by = [event.clientX - start.clientX, event.clientY - start.clientY];
      if (!isDragged && Math.hypot(...by) < DRAG_FROM_PX) return;
      isDragged = true;
      this.element.toggleAttribute("data-dragging", true);
      card.toggleAttribute("data-dragged", true);
      const x = event.clientX - taken.x + window.scrollX - scrolled.x;
      const y = event.clientY - taken.y + window.scrollY - scrolled.y;
      this.handlers.onDrag(copy, this.indexAt(x, y));
      card.style.transform = `translate(${x - card.offsetLeft}px, ${y - card.offsetTop}px)`;
    };
    const end = (event) => {
      if (event.pointerId !== start.pointerId) return;
      ended.abort();
      this.element.toggleAttribute("data-dragging", false);
      card.toggleAttribute("data-dragged", false);
      card.style.transform = "";
      if (isDragged) this.handlers.onDrop(copy);
    };
    this.element.setPointerCapture(start.pointerId);
    this.element.addEventListener("pointermove", move, { signal });
    for (const name of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(name, end, { signal });
    }
  }

  /** The index of the card whose corner, undragged, is nearest to (x, y). */
  indexAt(x, y) {
    const distances = [...this.element.children].map((card) =>
      Math.hypot(card.offsetLeft - x, card.offsetTop - y),
    );
    return distances.indexOf(Math.min(...distances));
  }
}

function makeCard({ copy, name, src }) {
  const card = document.createElement("li");
  card.className = "card";
  card.dataset.copy = copy;
  card.setAttribute("role", "option");
  const place = Object.assign(document.createElement("strong"), { className: "place" });
  place.dataset.place = "";
  const preview = Object.assign(new Image(), { alt: "", draggable: false, decoding: "sync", src });
  const label = Object.assign(document.createElement("span"), { textContent: name });
  const isNew = Object.assign(document.createElement("span"), { className: "new", textContent: gettext("new") });
  const words = Object.assign(document.createElement("span"), { className: "card-words" });
  words.append(place, label, isNew);
  card.append(words, preview);
  return card;
}
