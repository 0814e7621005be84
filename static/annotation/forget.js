// After a withdrawal: what this browser kept for the annotator goes, too.

const { forget } = document.querySelector("[data-forget]").dataset;

try {
  for (const storage of [localStorage, sessionStorage]) {
    for (const key of Object.keys(storage)) {
      if (key.includes(forget) || key.startsWith("ranking-draft ")) storage.removeItem(key);
    }
  }
} catch {
  // The browser keeps nothing.
}
