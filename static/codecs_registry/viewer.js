// The viewer of an image's page: <section data-viewer> with a <select> for each of two pictures, A
// and B, that lie on one another: to flip is to show or hide the upper one.
//
// A picture appears only once it has decoded, so nothing flashes. Zoom is by whole factors of device
// pixels, and every picture lies on the same ones.

const FEW_PIXELS = 8e6; // up to here, pictures are kept and fetched ahead
const KEPT = 24;
const PAN_STEP = 64; // device pixels
const FACTORS = [1, 2, 4, 8];

/** Where a picture's edge goes in a view, and where its middle then is; all in device pixels but
 * `middle`, which is in the picture's own. */
export function place({ size, view, zoom, middle }) {
  const scaled = size * zoom;
  const slack = view - scaled;
  const wanted = view / 2 - middle * zoom;
  const offset = Math.round(slack >= 0 ? slack / 2 : Math.min(Math.max(wanted, slack), 0));
  return { offset, middle: slack >= 0 ? size / 2 : (view / 2 - offset) / zoom };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.stage = root.querySelector("[data-stage]");
    this.pictures = root.querySelector("[data-pictures]");
    this.status = root.querySelector("[data-status]");
    this.size = { x: Number(this.pictures.dataset.width), y: Number(this.pictures.dataset.height) };
    this.isLarge = this.size.x * this.size.y > FEW_PIXELS;
    this.middle = { x: this.size.x / 2, y: this.size.y / 2 };
    this.zoom = 1;
    this.shown = "b";
    this.isDifference = false;
    this.loaded = new Map(); // "a 17" -> promise of an <img>
    this.sides = {};
    for (const side of ["a", "b"]) {
      const element = root.querySelector(`[data-side=${side}]`);
      const select = element.querySelector("select");
      this.sides[side] = { element, select, image: null, option: null }; // the last two: as seen
      select.addEventListener("change", () => this.choose(side));
    }
    this.links = [...document.querySelectorAll("a[data-picture]")];
    this.listen();
  }

  async start() {
    for (const control of this.root.querySelectorAll("[data-controls]")) control.hidden = false;
    await Promise.all([this.choose("a", { show: false }), this.choose("b", { show: false })]);
    if (this.sides.b.select.options.length > 1) this.stage.focus({ preventScroll: true });
  }

  listen() {
    const { root, stage } = this;
    root.querySelector("[data-flip]").addEventListener("click", () => this.flip());
    root.querySelector("[data-difference]").addEventListener("click", () => this.toggleDifference());
    for (const button of root.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => this.zoomTo(Number(button.dataset.zoom)));
    for (const button of root.querySelectorAll("button"))
      // Clicked by a pointer, a button hands the keys back to the picture.
      button.addEventListener("click", (event) => event.detail && stage.focus({ preventScroll: true }));
    for (const link of this.links)
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.sides.b.select.value = link.dataset.picture;
        this.choose("b");
        root.scrollIntoView({ block: "nearest" });
        stage.focus({ preventScroll: true });
      });
    stage.addEventListener("keydown", (event) => this.press(event));
    stage.addEventListener("pointerdown", (event) => this.drag(event));
    window.addEventListener("resize", () => this.arrange());
  }

  /** Shows on a side what its <select> says, as soon as that has decoded. */
  async choose(side, { show = true } = {}) {
    const { select } = this.sides[side];
    const option = select.selectedOptions[0];
    let image;
    try {
      image = await this.load(side, option);
    } catch {
      this.loaded.delete(`${side} ${option.value}`);
      if (select.selectedOptions[0] !== option) return;
      // A choice names what is seen, so it goes back.
      if (this.sides[side].option) this.sides[side].option.selected = true;
      this.say(`${option.text} could not be loaded.`);
      return;
    }
    if (select.selectedOptions[0] !== option) return; // another was chosen meanwhile
    Object.assign(this.sides[side], { image, option });
    this.sides[side].element.querySelector("[data-line]").textContent = option.dataset.facts ?? "";
    if (!this.sides.a.image || !this.sides.b.image) return;
    this.pictures.replaceChildren(this.sides.a.image, this.sides.b.image);
    this.stage.toggleAttribute("data-ready", true);
    for (const link of this.links) {
      const isShown = ["a", "b"].some((each) => this.sides[each].select.value === link.dataset.picture);
      link.closest("td").toggleAttribute("data-shown", isShown);
    }
    this.remember();
    this.show(show ? side : this.shown);
    this.arrange();
    if (!this.isLarge) this.loadAhead();
  }

  load(side, option) {
    const key = `${side} ${option.value}`;
    const known = this.loaded.get(key);
    this.loaded.delete(key); // the last in the map was used last
    const loading = known ?? decoded(option);
    this.loaded.set(key, loading);
    const inUse = Object.entries(this.sides).map(([each, { select }]) => `${each} ${select.value}`);
    for (const old of this.loaded.keys()) {
      if (this.loaded.size <= (this.isLarge ? 2 : KEPT)) break;
      if (!inUse.includes(old) && old !== key) this.loaded.delete(old);
    }
    return loading;
  }

  /** Fetches what an arrow key would show next. */
  loadAhead() {
    for (const step of [this.nextCodec(1), this.nextCodec(-1), this.nextStratum(1), this.nextStratum(-1)])
      if (step) this.load("b", step).catch(() => this.loaded.delete(`b ${step.value}`));
  }

  show(side) {
    this.shown = side;
    this.draw();
  }

  flip() {
    this.isDifference = false;
    this.show(this.shown === "a" ? "b" : "a");
  }

  toggleDifference() {
    this.isDifference = !this.isDifference;
    this.draw();
  }

  draw() {
    const { shown, isDifference, zoom, sides } = this;
    if (!sides.a.option || !sides.b.option) return; // not loaded yet
    sides.b.image.toggleAttribute("data-unseen", shown !== "b");
    this.pictures.toggleAttribute("data-differing", isDifference);
    this.root.querySelector("[data-difference]").setAttribute("aria-pressed", isDifference);
    for (const each of ["a", "b"])
      sides[each].element.toggleAttribute("data-shown", each === shown || isDifference);
    this.stage.dataset.shown = isDifference ? "difference" : shown;
    const what = isDifference
      ? "Difference of A and B, 8 times as bright"
      : `${shown.toUpperCase()}: ${sides[shown].option.text}`;
    this.say(`${what}, at ${zoom}×`);
  }

  say(text) {
    this.status.textContent = text;
  }

  /** Puts both choices into the page's address, to keep or to send. */
  remember() {
    const query = new URLSearchParams(location.search);
    for (const side of ["a", "b"]) query.set(side, this.sides[side].select.value);
    history.replaceState(null, "", `?${query}`);
  }

  // --- where the pictures lie ---

  arrange() {
    const ratio = window.devicePixelRatio;
    const box = this.stage.getBoundingClientRect();
    const pannable = [];
    for (const [axis, length, start] of [["x", "width", "left"], ["y", "height", "top"]]) {
      const view = Math.floor(box[length] * ratio);
      const { offset, middle } = place({
        size: this.size[axis], view, zoom: this.zoom, middle: this.middle[axis],
      });
      this.middle[axis] = middle;
      pannable.push(this.size[axis] * this.zoom > view);
      // On whole device pixels of the screen, wherever the stage begins.
      this.pictures.style[start] = `${Math.round(box[start] * ratio + offset) / ratio - box[start]}px`;
      this.pictures.style[length] = `${(this.size[axis] * this.zoom) / ratio}px`;
    }
    this.stage.toggleAttribute("data-pannable", pannable.includes(true));
    for (const button of this.root.querySelectorAll("[data-zoom]"))
      button.setAttribute("aria-pressed", Number(button.dataset.zoom) === this.zoom);
  }

  zoomTo(factor = this.zoom) {
    this.zoom = factor;
    this.arrange();
    this.draw();
  }

  /** Moves the view by device pixels, from where its middle was. */
  pan(x, y, from = this.middle) {
    this.middle = { x: from.x + x / this.zoom, y: from.y + y / this.zoom };
    this.arrange();
  }

  drag(start) {
    if (!this.stage.hasAttribute("data-pannable") || start.button) return;
    const ratio = window.devicePixelRatio;
    const from = { ...this.middle };
    this.stage.setPointerCapture(start.pointerId);
    const ended = new AbortController();
    const { signal } = ended;
    const move = (event) =>
      this.pan((start.clientX - event.clientX) * ratio, (start.clientY - event.clientY) * ratio, from);
    this.stage.addEventListener("pointermove", move, { signal });
    for (const end of ["pointerup", "pointercancel"])
      this.stage.addEventListener(end, () => ended.abort(), { signal });
  }

  // --- keys ---

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = this.action(event);
    if (!action) return;
    event.preventDefault(); // or the page would scroll
    action();
  }

  action({ key, shiftKey, repeat }) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (arrow && shiftKey) return () => this.pan(PAN_STEP * arrow[0], PAN_STEP * arrow[1]);
    if (arrow) return () => this.step(arrow[0] ? this.nextCodec(arrow[0]) : this.nextStratum(-arrow[1]));
    if (FACTORS.includes(Number(key))) return () => this.zoomTo(Number(key));
    if ("+=".includes(key)) return () => this.zoomTo(FACTORS.find((factor) => factor > this.zoom));
    if (key === "-") return () => this.zoomTo(FACTORS.findLast((factor) => factor < this.zoom));
    if (key === " " || key.toLowerCase() === "f") return () => repeat || this.flip();
    if (key.toLowerCase() === "d") return () => repeat || this.toggleDifference();
    return null;
  }

  step(option) {
    if (!option) return;
    option.selected = true;
    this.choose("b");
  }

  /** The option of the next codec at B's bit rate, round and round. */
  nextCodec(by) {
    const here = this.sides.b.select.selectedOptions[0];
    const options = [...this.sides.b.select.options].filter((option) => option.dataset.codec);
    const rivals = options.filter((option) => option.dataset.stratum === here.dataset.stratum);
    if (!rivals.length) return options[0];
    return rivals[(rivals.indexOf(here) + by + rivals.length) % rivals.length];
  }

  /** The option of the next bit rate of B's codec. */
  nextStratum(by) {
    const here = this.sides.b.select.selectedOptions[0];
    const options = [...this.sides.b.select.options].filter((option) => option.dataset.codec);
    if (!here.dataset.codec) return options[0];
    const rates = options.filter((option) => option.dataset.codec === here.dataset.codec);
    return rates[rates.indexOf(here) + by];
  }
}

/** An <img> of an option's picture, decoded; rejects if it cannot be. */
async function decoded(option) {
  const image = new Image();
  image.alt = option.text;
  image.draggable = false;
  image.src = option.dataset.src;
  await image.decode();
  return image;
}

for (const root of document.querySelectorAll("[data-viewer]")) new Viewer(root).start();
