// The page that measures the screen: the frame is as wide as the slider says.

const slider = document.querySelector("[data-card-width]");
const card = document.querySelector("[data-card]");

function draw() {
  card.style.width = `${slider.value}px`;
}

if (slider) {
  slider.addEventListener("input", draw);
  draw();
  slider.focus();
}
