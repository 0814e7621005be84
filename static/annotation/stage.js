// The pictures on the screen: one image pixel on one device pixel, or on zoom x zoom of them, all
// moved together.

export const ORIGINAL = "original";
const GAP_PX = 12; // CSS pixels between and around the pictures
const LEAST_ROOM_PX = 240; // CSS pixels of height; the page scrolls in a lower window
const PAN_STEP = 48; // device pixels for one press of a key

/** How wide each of `columns` windows is for pictures of that width, in device pixels. */
function viewWidth({ width, columns, stage, ratio }) {
  const gap = Math.round(GAP_PX * ratio);
  return Math.min(width, Math.floor((stage.width * ratio - (columns + 1) * gap) / columns));
}

/**
 * Where pictures go on a stage, all in whole device pixels. width, height: of a picture as it is
 * shown, in device pixels.
 *
 * The window of each is as large as the picture, or as its share of the stage if that is smaller;
 * `slack` is how far the picture can be panned under it. `stage` is in CSS pixels.
 */
export function layout({ width, height, columns, stage, ratio }) {
  const gap = Math.round(GAP_PX * ratio);
  const view = {
    width: viewWidth({ width, columns, stage, ratio }),
    height: Math.min(height, Math.floor(stage.height * ratio) - 2 * gap),
  };
  const taken = columns * view.width + (columns - 1) * gap;
  const left = stage.left * ratio + (stage.width * ratio - taken) / 2;
  const top = stage.top * ratio + Math.max(gap, (stage.height * ratio - view.height) / 2);
  return {
    view,
    gap,
    places: Array.from({ length: columns }, (_, i) => ({
      x: Math.round(left) + i * (view.width + gap),
      y: Math.round(top),
    })),
    slack: { x: width - view.width, y: height - view.height },
  };
}

/** Keeps a pan offset (device pixels, from the top left corner) whole and inside the picture. */
export function clampPan(pan, slack) {
  return {
    x: Math.round(Math.min(Math.max(pan.x, 0), slack.x)),
    y: Math.round(Math.min(Math.max(pan.y, 0), slack.y)),
  };
}

/**
 * Loads an assignment's images; rejects if one cannot be decoded.
 *
 * `positions` names for each view what it can show: {copy: ["1", "2"], original: ["original"]}.
 * Returns the images by view and position. The original also lies, unseen, under each copy: holding
 * a key then only swaps visibility.
 */
export async function load(assignment, positions, describe) {
  const image = (position, alt) =>
    Object.assign(new Image(), {
      alt,
      draggable: false,
      decoding: "sync", // painted in the frame in which it is shown, not in a later one
      src: assignment.images[position],
    });
  const images = {};
  for (const [view, own] of Object.entries(positions)) {
    images[view] = Object.fromEntries(own.map((each) => [each, image(each, describe(each, view))]));
    images[view][ORIGINAL] ??= image(ORIGINAL, "");
  }
  const all = Object.values(images).flatMap((view) => Object.values(view));
  await Promise.all(all.map((each) => each.decode()));
  return images;
}

/** The stage inside an element that holds the [data-view]s, in a section that fills the window. */
export class Stage {
  /**
   * captions: each has the width of the view that its data-under names. showing(fits): the names of
   * the views that are on the screen; `fits(n)` tells whether n do without panning sideways.
   */
  constructor(element, { captions, onPannable, showing }) {
    this.element = element;
    this.captions = captions;
    this.onPannable = onPannable;
    this.showing = showing;
    this.views = [...element.querySelectorAll("[data-view]")];
    this.pan = { x: 0, y: 0 };
    this.zoom = 1; // device pixels of one image pixel
    this.images = null;
    this.isFlipped = false;
    element.addEventListener("pointerdown", (event) => this.drag(event));
  }

  /**
   * Shows loaded images: of each view its first, or the one named in `shown`. Resolves with the
   * time of the first frame in which they were painted.
   */
  present(assignment, images, shown = {}) {
    this.size = { width: assignment.width, height: assignment.height };
    this.images = images;
    this.shown = {};
    for (const view of this.views) {
      const own = images[view.dataset.view] ?? {};
      view.replaceChildren(...Object.values(own));
      this.shown[view.dataset.view] = shown[view.dataset.view] ?? Object.keys(own)[0];
    }
    this.zoom = 1;
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
    const size = { width: this.size.width * this.zoom, height: this.size.height * this.zoom };
    const { width } = this.element.getBoundingClientRect();
    const fits = (columns) => viewWidth({ ...size, columns, stage: { width }, ratio }) === size.width;
    const names = this.showing(fits);
    this.onScreen = this.views.filter((view) => names.includes(view.dataset.view));
    const columns = this.onScreen.length;
    for (const view of this.views) view.hidden = !this.onScreen.includes(view);
    this.element.parentElement.dataset.columns = columns;
    const measure = () => {
      const stage = this.element.getBoundingClientRect();
      return { stage, ...layout({ ...size, columns, stage, ratio }) };
    };
    // What is below needs its own size first; the stage gets what is left.
    const { view, gap } = measure();
    for (const caption of this.captions) {
      const isUnder = names.includes(caption.dataset.under);
      caption.style.width = isUnder ? `${view.width / ratio}px` : "";
    }
    this.captions[0].parentElement.style.gap = columns > 1 ? `${gap / ratio}px` : "";
    this.element.style.minHeight = `${LEAST_ROOM_PX + 2 * GAP_PX}px`;
    this.onPannable(false);
    const needsPanning = () => Object.values(measure().slack).some((slack) => slack > 0);
    const pannable = needsPanning();
    this.onPannable(pannable); // its words take some room in turn
    const { stage, places, slack, view: window_ } = measure();
    this.slack = slack;
    this.view = window_;
    this.onScreen.forEach((element, i) => {
      element.style.width = `${this.view.width}px`;
      element.style.height = `${this.view.height}px`;
      const [x, y] = [places[i].x / ratio - stage.left, places[i].y / ratio - stage.top];
      element.style.transform = `translate(${x}px, ${y}px) scale(${1 / ratio})`;
      element.toggleAttribute("data-pannable", pannable);
    });
    for (const image of this.allImages()) {
      image.style.width = `${size.width}px`;
      image.style.height = `${size.height}px`;
    }
    this.element.style.minHeight = `${Math.ceil(this.view.height / ratio) + 2 * GAP_PX}px`;
    this.panTo(this.pan);
  }

  allImages() {
    return Object.values(this.images).flatMap((view) => Object.values(view));
  }

  panTo(pan) {
    this.pan = clampPan(pan, this.slack);
    for (const image of this.allImages()) {
      image.style.left = `${-this.pan.x}px`;
      image.style.top = `${-this.pan.y}px`;
    }
  }

  panBy(x, y) {
    this.panTo({ x: this.pan.x + x * PAN_STEP, y: this.pan.y + y * PAN_STEP });
  }

  /** Zooms, in whole numbers. What is under `point` (of the page's window) stays there if it can;
   * without one, what is in the middle of each view. */
  zoomTo(zoom, point = null) {
    const view = this.viewAt(point);
    const inView = () => {
      const box = (view ?? this.onScreen[0]).getBoundingClientRect();
      const at = view
        ? { x: point.x - box.left, y: point.y - box.top }
        : { x: box.width / 2, y: box.height / 2 };
      return { x: at.x * window.devicePixelRatio, y: at.y * window.devicePixelRatio };
    };
    const before = inView();
    const still = { x: (this.pan.x + before.x) / this.zoom, y: (this.pan.y + before.y) / this.zoom };
    this.zoom = zoom;
    this.arrange();
    const after = inView();
    this.panTo({ x: still.x * zoom - after.x, y: still.y * zoom - after.y });
  }

  viewAt(point) {
    const isIn = ({ left, right, top, bottom }) =>
      point.x >= left && point.x < right && point.y >= top && point.y < bottom;
    return point && this.onScreen.find((view) => isIn(view.getBoundingClientRect()));
  }

  /** How much of each picture is in its view, in image pixels. */
  get seen() {
    return { width: this.view.width / this.zoom, height: this.view.height / this.zoom };
  }

  /** Shows another of a view's images. */
  show(view, position) {
    this.shown[view] = position;
    this.refresh();
  }

  /** Shows the original in place of the copies, or the copies again. */
  flip(toOriginal) {
    this.isFlipped = toOriginal;
    this.refresh();
  }

  refresh() {
    for (const [view, images] of Object.entries(this.images)) {
      const wanted = this.isFlipped ? ORIGINAL : this.shown[view];
      for (const [position, image] of Object.entries(images)) {
        image.toggleAttribute("data-shown", position === wanted);
      }
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
