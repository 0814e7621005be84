// The study builder, beyond what htmx does: <form data-builder>. Without this script all works by
// the buttons, and only these are missing:
// - files that are dropped on <fieldset data-drop> are taken for the upload;
// - <progress data-progress> tells how far an upload is;
// - a control whose problem is told is marked as invalid, and a link to one in a closed <details>
//   opens it.

const form = document.querySelector("[data-builder]");
const area = form.querySelector("[data-drop]");
const files = area.querySelector("[type=file]");
const chosen = area.querySelector("[data-dropped]");
const progress = area.querySelector("[data-progress]");
const state = area.querySelector("[data-upload-state]");

// --- photographs -----------------------------------------------------------------------------

for (const kind of ["dragover", "dragleave", "drop"]) {
  area.addEventListener(kind, (event) => {
    event.preventDefault();
    area.toggleAttribute("data-over", kind === "dragover");
  });
}
area.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  files.files = event.dataTransfer.files;
  tell();
});
files.addEventListener("change", tell);

function tell() {
  const n = files.files.length;
  chosen.hidden = !n;
  chosen.textContent = `${n} file${n === 1 ? "" : "s"} to add`;
}

const isUpload = (event) => event.detail.elt.matches("[data-upload]");

form.addEventListener("htmx:beforeRequest", (event) => {
  if (!isUpload(event)) return;
  progress.hidden = false;
  progress.value = 0;
  state.textContent = "Sending…";
});
form.addEventListener("htmx:xhr:progress", (event) => {
  if (!event.target.matches("[data-upload]") || !event.detail.lengthComputable) return;
  progress.value = event.detail.loaded / event.detail.total;
  if (progress.value === 1) state.textContent = "Sent; reading the pictures…";
});
for (const kind of ["htmx:responseError", "htmx:sendError"]) {
  form.addEventListener(kind, (event) => {
    if (!isUpload(event)) return;
    progress.hidden = true;
    state.textContent = "The photographs could not be sent. Try fewer at once.";
  });
}

// --- problems --------------------------------------------------------------------------------

function mark() {
  for (const problem of form.querySelectorAll(".problem")) {
    const control = document.getElementById(problem.id.replace(/_problem$/, ""));
    if (problem.textContent.trim()) control?.setAttribute("aria-invalid", "true");
    else control?.removeAttribute("aria-invalid");
  }
}
document.addEventListener("htmx:oobAfterSwap", mark);
mark();

form.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  const control = link && document.getElementById(link.hash.slice(1));
  if (!control) return;
  event.preventDefault();
  for (let each = control; each; each = each.parentElement) if (each.matches("details")) each.open = true;
  control.focus();
  control.scrollIntoView({ block: "center" });
});
