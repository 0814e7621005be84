// A page that asks by itself for what moves on it stops asking while nobody can see it, and asks at
// once when somebody can again.
//
//   <div hx-get="..." hx-trigger="every 5s, seen-again" data-pauses-when-hidden>

const PAUSING = "[data-pauses-when-hidden]";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.matches(PAUSING)) event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll(PAUSING)) part.dispatchEvent(new Event("seen-again"));
});
