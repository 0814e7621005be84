// Enter begins, where nothing has to be ticked first. The button is at the end of the page, so that
// autofocus would scroll past all that is to be read.

document.querySelector("[data-start]")?.focus({ preventScroll: true });
