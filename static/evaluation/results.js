// Plots that answer: <figure data-plot> holds a drawing, which stays where no script runs, and its
// Vega-Lite specification. Near the screen, Vega draws it anew; pointing at a mark tells its value
// and interval, and a codec that is pointed at, or chosen by its button, stands out in all plots.
// Vega's interpreter computes its expressions, so that nothing is evaluated from text.

const CHOSEN = "codec_chosen"; // a parameter of the specification: evaluation/plots.py
const FEW = 12; // values of a codec that are worth telling in a line

const views = new Map(); // of each living plot, by its figure
let chosen = null;
let loading = null;

function vega(address) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(window.vegaEmbed);
    script.onerror = () => reject(new Error(`${address} could not be loaded`));
    document.head.append(script);
  });
  return loading;
}

async function enliven(figure) {
  const text = figure.querySelector("script[type='application/json']").textContent;
  const specification = JSON.parse(text);
  const embed = await vega(figure.dataset.plot);
  const stage = document.createElement("div");
  const note = document.createElement("div");
  note.className = "plot-note";
  note.hidden = true;
  const { view } = await embed(stage, specification, {
    mode: "vega-lite",
    ast: true, // expressions are interpreted, never compiled
    actions: false,
    defaultStyle: false,
    renderer: "svg",
    tooltip: (_handler, event, _item, value) => tell(figure, note, event, value),
  });
  const drawing = figure.querySelector("[data-drawing]");
  stage.querySelector("svg")?.setAttribute("aria-hidden", "true"); // the tables below say it all
  drawing.replaceChildren(stage);
  figure.append(note);
  views.set(figure, view);
  if (!text.includes(`== ${CHOSEN}`)) return;
  view.addEventListener("mouseover", (_event, item) => highlight(item?.datum?.codec ?? chosen));
  view.addEventListener("mouseout", () => highlight(chosen));
  addButtons(figure, rowsOf(specification));
  highlight(chosen);
}

/** The value that is pointed at, beside the pointer; nothing is written as markup. */
function tell(figure, note, event, value) {
  note.hidden = !value;
  if (!value) return;
  const list = document.createElement("dl");
  for (const [name, each] of Object.entries(value)) {
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = each;
    list.append(term, told);
  }
  note.replaceChildren(list);
  const box = figure.getBoundingClientRect();
  const x = event.clientX - box.left + 14;
  note.style.left = `${Math.max(0, Math.min(x, box.width - note.offsetWidth - 4))}px`;
  note.style.top = `${event.clientY - box.top + 14}px`;
}

function highlight(codec) {
  for (const [figure, view] of views) {
    if (figure.isConnected) view.signal(CHOSEN, codec ?? null).runAsync();
    else {
      // htmx has put another page's body in its place.
      view.finalize();
      views.delete(figure);
    }
  }
}

function addButtons(figure, rows) {
  const codecs = [...new Set(rows.map((row) => row.codec))].sort();
  if (codecs.length < 2) return;
  const group = document.createElement("div");
  group.className = "plot-codecs";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Highlight a codec");
  const label = document.createElement("span");
  label.className = "quiet";
  label.textContent = "Highlight:";
  group.append(label);
  const line = document.createElement("p");
  line.className = "quiet";
  line.setAttribute("role", "status");
  for (const codec of codecs) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = codec;
    button.dataset.codec = codec;
    button.setAttribute("aria-pressed", String(codec === chosen));
    button.addEventListener("click", () => {
      chosen = chosen === codec ? null : codec;
      for (const each of document.querySelectorAll(".plot-codecs button"))
        each.setAttribute("aria-pressed", String(each.dataset.codec === chosen));
      highlight(chosen);
      line.textContent = chosen ? said(rows.filter((row) => row.codec === codec)) : "";
    });
    for (const [event, value] of [["mouseenter", () => codec], ["mouseleave", () => chosen]])
      button.addEventListener(event, () => highlight(value()));
    group.append(button);
  }
  figure.querySelector("[data-drawing]").after(group, line);
}

/** A codec's values in a line, for who cannot point. */
function said(rows) {
  const lines = new Set(
    rows
      .filter((row) => row.interval_told)
      .map((row) => {
        const where = row.panel ?? row.rate;
        return `${row.metric ? `${row.metric}, ` : ""}${where}: ${row.score_told ?? row.share_told} (${row.interval_told})`;
      }),
  );
  return lines.size > FEW ? "" : `${rows[0].codec}, with intervals: ${[...lines].join("; ")}.`;
}

function rowsOf({ datasets }) {
  return Object.values(datasets).flat().filter((row) => row.codec);
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      enliven(target).catch((error) => console.warn(`A plot stays a drawing: ${error.message}`));
    }
  },
  { rootMargin: "400px" },
);

/** A button that copies the text of another element, where the browser lets it. */
function addCopying(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const label = button.textContent;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

function start() {
  for (const figure of document.querySelectorAll("figure[data-plot]:not([data-started])")) {
    figure.dataset.started = "";
    near.observe(figure);
  }
  for (const button of document.querySelectorAll("button[data-copy]:not([data-started])")) {
    button.dataset.started = "";
    addCopying(button);
  }
}

start();
document.addEventListener("htmx:afterSettle", start);
