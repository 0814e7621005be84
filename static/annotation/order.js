// An order with ties, as places: [["2"], ["1", "3"]] has copy 2 closest, and 1 and 3 sharing the
// second place. Pure functions: each returns new places.

const places = (groups) => groups.filter((group) => group.length);

/** The place of a copy, counted from 1. */
export function placeOf(order, copy) {
  return order.findIndex((group) => group.includes(copy)) + 1;
}

/** Moves a copy one place closer (-1) or farther (1). One that shares a place first leaves it. */
export function moveBy(order, copy, step) {
  const i = placeOf(order, copy) - 1;
  const isAlone = order[i].length === 1;
  const rest = order.map((group) => group.filter((each) => each !== copy));
  const at = isAlone ? i + step : i + (step > 0 ? 1 : 0);
  if (isAlone) rest.splice(i, 1);
  rest.splice(Math.min(Math.max(at, 0), rest.length), 0, [copy]);
  return places(rest);
}

/** Moves a copy to an index of the flat order; between two that share a place, it joins them. */
export function moveTo(order, copy, index) {
  const rest = places(order.map((group) => group.filter((each) => each !== copy)));
  let before = index;
  for (const [i, group] of rest.entries()) {
    if (before === 0) return [...rest.slice(0, i), [copy], ...rest.slice(i)];
    if (before < group.length) {
      const joined = [...group.slice(0, before), copy, ...group.slice(before)];
      return [...rest.slice(0, i), joined, ...rest.slice(i + 1)];
    }
    before -= group.length;
  }
  return [...rest, [copy]];
}

/** Lets a copy share the place of the one before it, or no longer. The first stays as it is. */
export function toggleTie(order, copy) {
  const i = placeOf(order, copy) - 1;
  const at = order[i].indexOf(copy);
  if (at > 0) {
    const parts = [order[i].slice(0, at), order[i].slice(at)];
    return [...order.slice(0, i), ...parts, ...order.slice(i + 1)];
  }
  if (i === 0) return order;
  return [...order.slice(0, i - 1), [...order[i - 1], ...order[i]], ...order.slice(i + 1)];
}

/** Whether a copy shares the place of the one before it. */
export function isTied(order, copy) {
  return order[placeOf(order, copy) - 1].indexOf(copy) > 0;
}
