// The three pictures on the screen: one image pixel on one device pixel, all moved together.

export const POSITIONS = ["left", "original", "right"];
const GAP_PX = 12; // CSS pixels between and around the pictures
const ROOM_AROUND_PX = 180; // CSS pixels of the bar above and the answers below
const PAN_STEP = 48; // image pixels for one press of a key

/**
 * Where pictures of width x height image pixels go on a stage, all in whole device pixels.
 *
 * The window of each is as large as the picture, or as a third of the room if that is smaller;
 * `slack` is how far the picture can be panned under it. `stage` and `room` are in CSS pixels.
 */
export function layout({ width, height, stage, roomHeight, ratio }) {
  const gap = Math.round(GAP_PX * ratio);
  const view = {
    width: Math.min(width, Math.floor((stage.width * ratio - 4 * gap) / 3)),
    height: Math.min(height, Math.floor(roomHeight * ratio)),
  };
  const left = stage.left * ratio + (stage.width * ratio - 3 * view.width - 2 * gap) / 2;
  const top = stage.top * ratio + Math.max(gap, (stage.height * ratio - view.height) / 2);
  return {
    view,
    gap,
    places: POSITIONS.map((_, i) => ({
      x: Math.round(left) + i * (view.width + gap),
      y: Math.round(top),
    })),
    slack: { x: width - view.width, y: height - view.height },
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
      const shown = [images[position], images[`${position}-original`]].filter(Boolean);
      this.views[position].replaceChildren(...shown);
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
    const roomHeight = Math.max(240, window.innerHeight - ROOM_AROUND_PX);
    const tallest = Math.min(this.size.height / ratio, roomHeight);
    this.element.style.minHeight = `${Math.ceil(tallest) + 2 * GAP_PX}px`;
    const measure = () => {
      const stage = this.element.getBoundingClientRect();
      return { stage, ...layout({ ...this.size, stage, roomHeight, ratio }) };
    };
    const { view, gap, slack } = measure();
    this.slack = slack;
    this.view = view;
    const pannable = slack.x > 0 || slack.y > 0;
    this.onPannable(pannable);
    for (const answer of this.answers) answer.style.width = `${view.width / ratio}px`;
    this.answers[0].parentElement.style.gap = `${gap / ratio}px`;
    // What is below has its size now, so the stage has its own.
    const { stage, places } = measure();
    POSITIONS.forEach((position, i) => {
      const element = this.views[position];
      element.style.width = `${view.width}px`;
      element.style.height = `${view.height}px`;
      const [x, y] = [places[i].x / ratio - stage.left, places[i].y / ratio - stage.top];
      element.style.transform = `translate(${x}px, ${y}px) scale(${1 / ratio})`;
      element.toggleAttribute("data-pannable", pannable);
    });
    this.panTo(this.pan);
  }

  panTo(pan) {
    this.pan = clampPan(pan, this.slack);
    for (const image of Object.values(this.images)) {
      image.style.left = `${-this.pan.x}px`;
      image.style.top = `${-this.pan.y}px`;
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
    const ended = new AbortController();
    const { signal } = ended;
    this.element.addEventListener("pointermove", move, { signal });
    for (const end of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(end, () => ended.abort(), { signal });
    }
  }
}
