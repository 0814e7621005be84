// A remark that can be left with an answer, if the campaign takes any.

import { part } from "./parts.js";

export class Remark {
  /** onToggle(isOpen) */
  constructor({ onToggle }) {
    this.onToggle = onToggle;
    this.field = part("remark-text");
    this.button = part("remark-open");
    this.button.addEventListener("click", () => this.toggle(true));
    this.field.addEventListener("keydown", (event) => {
      if ((event.key !== "Enter" && event.key !== "Escape") || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation(); // neither is meant for the question
      this.toggle(false);
    });
    part("remark-close").addEventListener("click", () => this.toggle(false));
  }

  get text() {
    return this.field.value.trim();
  }

  toggle(isOpen) {
    const field = part("remark-field");
    if (field.hidden !== isOpen) return;
    field.hidden = !isOpen;
    this.button.hidden = isOpen;
    part("remark-kept").hidden = !this.text;
    if (isOpen) {
      this.before = document.activeElement;
      this.field.focus();
    } else {
      this.field.blur(); // at once: the next key is for the question
      this.before.focus();
    }
    this.onToggle(isOpen);
  }

  clear() {
    this.field.value = "";
    part("remark-kept").hidden = true;
    this.toggle(false);
  }
}
