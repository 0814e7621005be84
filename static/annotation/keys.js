/**
 * The key that was meant: a digit also where the layout has it under Shift (French), a letter in
 * lower case, by its place where the layout has no Latin letters.
 */
export function keyOf({ key, code }) {
  if (key.length > 1) return key;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit) return digit[1];
  const letter = /^Key([A-Z])$/.exec(code);
  return letter && key.charCodeAt(0) > 127 ? letter[1].toLowerCase() : key.toLowerCase();
}

/** Whether keys go into a text field. */
export const isTyping = (event) => event.target.matches?.("input, textarea") ?? false;
