// Enter begins, where nothing has to be ticked first. The button is at the end of the page: its
// autofocus, which holds where no script runs, would scroll past all that is to be read. What has
// the focus before the page is first drawn is left alone by it.

document.querySelector("[data-start]")?.focus({ preventScroll: true });
