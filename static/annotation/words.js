// Words in the annotator's language: from the page's catalog (Django's JavaScriptCatalog) where there
// is one, else as they are written here. Arguments are literal strings, so that they can be extracted.

const catalog = () => globalThis.django ?? {};

export const gettext = (text) => catalog().gettext?.(text) ?? text;

export const ngettext = (one, many, count) =>
  catalog().ngettext?.(one, many, count) ?? (count === 1 ? one : many);

/** Fills %(name)s in. */
export const interpolate = (text, values) =>
  text.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));

/** The title and the text at the end, by what the server calls its outcome. */
export function endingWords(outcome, isOpen) {
  switch (outcome) {
    case "completed":
      return [gettext("Thank you!"), ""];
    case "screened out":
      return [
        gettext("Thank you for coming"),
        gettext("This study cannot go on with you: some answers did not fit the task. What you judged is kept."),
      ];
    case "revoked":
      return [
        gettext("This link is no longer valid"),
        gettext("Those who run the study have withdrawn it. What you judged by it is kept."),
      ];
    default:
      return [
        gettext("Nothing to judge at present"),
        isOpen
          ? gettext("Others are judging what is left, or have finished. Please come back later by the same link.")
          : gettext("This study takes no answers at present."),
      ];
  }
}

/** A kind word about answers that look careless, by the checks that found them. */
export function warningWords(checks) {
  const words = {
    "too fast": gettext("You are answering very fast. Please take the time to look at each picture."),
    "side bias": gettext("Nearly all of your answers are on the same side. Please look at both copies each time."),
  };
  const other = gettext("Some of your answers look careless. Please look closely at each picture; hold Space to compare.");
  return [...new Set(checks.map((check) => words[check] ?? other))].join(" ");
}
