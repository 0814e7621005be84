// The three pictures on the screen: one image pixel on one device pixel, all moved together.

export const POSITIONS = ["left", "original", "right"];
const GAP_PX = 12; // .stage's gap and padding in judging.css
const ROOM_AROUND_PX = 180; // the bar above and the answers below
const PAN_STEP = 48; // image pixels for one press of a key

/**
 * Sizes in CSS pixels for a picture of width x height image pixels.
 *
 * The window of each picture is as large as the picture, or as a third of the room if that is
 * smaller; both in whole device pixels, so that the browser never resamples.
 */
export function layout({ width, height, roomWidth, roomHeight, ratio }) {
  const widest = Math.floor(((roomWidth - 4 * GAP_PX) / 3) * ratio);
  const tallest = Math.floor(roomHeight * ratio);
  const view = { width: Math.min(width, widest), height: Math.min(height, tallest) };
  return {
    image: { width: width / ratio, height: height / ratio },
    view: { width: view.width / ratio, height: view.height / ratio },
    slack: { x: width - view.width, y: height - view.height }, // image pixels to pan over
  };
}

/** Keeps a pan offset (image pixels, from the top left corner) inside the picture. */
export function clampPan(pan, slack) {
  return {
    x: Math.round(Math.min(Math.max(pan.x, 0), slack.x)),
    y: Math.round(Math.min(Math.max(pan.y, 0), slack.y)),
  };
}

/** Loads a pair's images; rejects if one cannot be decoded. */
export async function load(assignment) {
  const images = {};
  for (const position of POSITIONS) {
    images[position] = new Image();
    images[position].alt = position === "original" ? "The original" : `The ${position} copy`;
    images[position].draggable = false;
    images[position].src = assignment.images[position];
  }
  // The original is also laid, unseen, under each copy: holding a key then only swaps visibility.
  for (const position of ["left", "right"]) {
    images[`${position}-original`] = new Image();
    images[`${position}-original`].alt = "";
    images[`${position}-original`].draggable = false;
    images[`${position}-original`].src = assignment.images.original;
  }
  await Promise.all(Object.values(images).map((image) => image.decode()));
  return images;
}

/** The stage inside an element that holds the three [data-view]s. */
export class Stage {
  constructor(element, { answers, onPannable }) {
    this.element = element;
    this.answers = answers; // one under each picture
    this.onPannable = onPannable;
    this.views = Object.fromEntries(
      POSITIONS.map((position) => [position, element.querySelector(`[data-view=${position}]`)]),
    );
    this.pan = { x: 0, y: 0 };
    this.images = null;
    window.addEventListener("resize", () => this.images && this.arrange());
    element.addEventListener("pointerdown", (event) => this.drag(event));
  }

  /** Shows a loaded pair; resolves with the time of the first frame in which it was painted. */
  present(assignment, images) {
    this.size = { width: assignment.width, height: assignment.height };
    this.images = images;
    for (const position of POSITIONS) {
      const layers = [images[position], images[`${position}-original`]].filter(Boolean);
      this.views[position].replaceChildren(...layers);
    }
    this.flip(false);
    this.arrange();
    this.panTo({ x: this.slack.x / 2, y: this.slack.y / 2 });
    // The first callback runs before the paint, the second one after it.
    return new Promise((resolve) =>
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))),
    );
  }

  arrange() {
    const ratio = window.devicePixelRatio;
    const sizes = layout({
      ...this.size,
      roomWidth: document.documentElement.clientWidth,
      roomHeight: Math.max(240, window.innerHeight - ROOM_AROUND_PX),
      ratio,
    });
    this.slack = sizes.slack;
    for (const view of Object.values(this.views)) {
      view.style.width = `${sizes.view.width}px`;
      view.style.height = `${sizes.view.height}px`;
    }
    for (const answer of this.answers) answer.style.width = `${sizes.view.width}px`;
    for (const image of Object.values(this.images)) {
      image.style.width = `${sizes.image.width}px`;
      image.style.height = `${sizes.image.height}px`;
    }
    const pannable = this.slack.x > 0 || this.slack.y > 0;
    for (const view of Object.values(this.views)) view.toggleAttribute("data-pannable", pannable);
    this.onPannable(pannable);
    this.panTo(this.pan);
  }

  panTo(pan) {
    this.pan = clampPan(pan, this.slack);
    const ratio = window.devicePixelRatio;
    for (const image of Object.values(this.images)) {
      image.style.left = `${-this.pan.x / ratio}px`;
      image.style.top = `${-this.pan.y / ratio}px`;
    }
  }

  panBy(x, y) {
    this.panTo({ x: this.pan.x + x * PAN_STEP, y: this.pan.y + y * PAN_STEP });
  }

  /** Shows the original in place of both copies, or the copies again. */
  flip(toOriginal) {
    this.images.original.toggleAttribute("data-shown", true);
    for (const position of ["left", "right"]) {
      this.images[position].toggleAttribute("data-shown", !toOriginal);
      this.images[`${position}-original`].toggleAttribute("data-shown", toOriginal);
    }
  }

  drag(start) {
    if (!this.images || !start.target.closest("[data-pannable]")) return;
    const from = this.pan;
    const ratio = window.devicePixelRatio;
    this.element.setPointerCapture(start.pointerId);
    const move = (event) =>
      this.panTo({
        x: from.x - (event.clientX - start.clientX) * ratio,
        y: from.y - (event.clientY - start.clientY) * ratio,
      });
    this.element.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(
        end,
        () => this.element.removeEventListener("pointermove", move),
        { once: true },
      );
    }
  }
}
