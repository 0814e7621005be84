// Words in the annotator's language: from the page's catalog (Django's JavaScriptCatalog) where there
// is one, else as they are written here. Arguments are literal strings, so that they can be extracted.

const catalog = () => globalThis.django ?? {};

export const gettext = (text) => catalog().gettext?.(text) ?? text;

export const ngettext = (one, many, count) =>
  catalog().ngettext?.(one, many, count) ?? (count === 1 ? one : many);

/** Fills %(name)s in. */
export const interpolate = (text, values) =>
  text.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));
