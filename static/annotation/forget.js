// After a withdrawal: what this browser kept for the annotator goes, too.

const { forget } = document.querySelector("[data-forget]").dataset;

try {
  for (const key of Object.keys(localStorage)) {
    if (key.includes(forget) || key.startsWith("ranking-draft ")) localStorage.removeItem(key);
  }
} catch {
  // The browser keeps nothing.
}
