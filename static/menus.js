/**
 * Menus that close as people expect: on Escape, on a click elsewhere, and once the focus is elsewhere.
 *
 *   <details class="menu"><summary>…</summary>…</details>
 *
 * Without it they open and close by their button alone. The focus goes back to the button where it
 * would be lost: on Escape, and on a click on nothing that can have it.
 */
const open = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of open()) {
    const hadFocus = menu.contains(document.activeElement);
    menu.open = false;
    if (hadFocus) menu.querySelector("summary").focus();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of open()) {
    if (menu.contains(event.target)) continue;
    menu.open = false;
    if (document.activeElement === document.body) menu.querySelector("summary").focus();
  }
});

document.addEventListener("focusin", (event) => {
  for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
});
