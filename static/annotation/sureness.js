// After the choice, if the campaign asks for it: "How sure are you?"

import { main, part, parts } from "./parts.js";

export class Sureness {
  /** onAnswer(1 to 3, time of the event). onBack: the choice is to be made again. */
  constructor({ onAnswer, onBack }) {
    this.handlers = { onAnswer, onBack };
    for (const button of parts("sure")) {
      button.addEventListener("click", (event) => onAnswer(Number(button.dataset.sure), event.timeStamp));
    }
    part("unsure").addEventListener("click", () => this.goBack());
  }

  toggle(isAsked) {
    if (isAsked) this.before = document.activeElement;
    main.toggleAttribute("data-chosen", isAsked);
    part("sureness").hidden = !isAsked;
    if (isAsked) part("sureness").focus(); // read out; the keys work from anywhere
  }

  goBack() {
    this.handlers.onBack();
    this.before.focus();
  }

  /** Whether the key was its own. */
  press(key, event) {
    if (key === "Escape") this.goBack();
    else if (/^[1-3]$/.test(key) && !event.repeat) {
      this.handlers.onAnswer(Number(key), event.timeStamp);
    } else return /^[1-9]$/.test(key);
    return true;
  }
}
