// The page's parts, <main data-judge="/judge/TOKEN/" data-total="10" data-settings='{…}'>, its
// settings, and what this browser keeps for it.

export const main = document.querySelector("[data-judge]");
export const part = (name) => main.querySelector(`[data-${name}]`);
export const parts = (name) => [...main.querySelectorAll(`[data-${name}]`)];

/** {viewing, requirements}: annotation/options.py describes each. */
export const settings = JSON.parse(main.dataset.settings);

const SECTIONS = ["question", "loading", "waiting", "failed", "computer", "unmet", "narrow", "thanks"];

export function show(name) {
  main.dataset.showing = name;
  for (const each of SECTIONS) part(each).hidden = each !== name;
}

export const isShowing = (name) => main.dataset.showing === name;

export function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}

/** Unlike a disabled button, one that does nothing at present can still be found and read out. */
export function enable(button, isEnabled) {
  button.setAttribute("aria-disabled", !isEnabled);
}

/** Something that this browser keeps for this page, also when it is closed; null if it cannot. */
export const kept = (name) => keptIn(() => localStorage, name);

/** The same, for one tab of it alone: it outlives a reload, and goes when the tab is closed. */
export const keptByTab = (name) => keptIn(() => sessionStorage, name);

function keptIn(storage, name) {
  const tried = (act) => {
    try {
      return act();
    } catch {
      return null; // a browser may keep nothing, or hold something else
    }
  };
  return {
    read: () => tried(() => JSON.parse(storage().getItem(name))),
    write: (value) => tried(() => storage().setItem(name, JSON.stringify(value))),
    clear: () => tried(() => storage().removeItem(name)),
  };
}
