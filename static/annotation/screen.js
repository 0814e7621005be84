// The page that measures the screen: the slider says how many CSS pixels a card's long side has, and
// the frame shows the card of that size; in a narrow window its short side alone (pages.css).

const slider = document.querySelector("[data-card-width]");
const card = document.querySelector("[data-card]");
const ratio = document.querySelector("[data-ratio]");

function draw() {
  card.style.setProperty("--card", `${slider.value}px`);
  ratio.value = window.devicePixelRatio; // a zoom changes it, and with it how large a CSS pixel is
}

if (slider) {
  slider.addEventListener("input", draw);
  slider.form.addEventListener("submit", draw);
  draw();
  slider.focus();
}
