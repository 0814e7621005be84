/**
 * Tables that sort and filter, by mouse, keyboard and screen reader; without it they are plain.
 *
 *   <table data-sortable>                   header cells become buttons; aria-sort tells the order
 *   <table data-sortable data-filter>       a field above it, where there are MANY rows or more
 *   <td data-value="2026-11-30T09:00">      what a cell is sorted by, where it is not its text
 *   <th data-unsorted>                      a column that has no order
 *
 *   <tr><th scope="rowgroup">               the heading of a tbody, which stays on top of it
 *
 * Each tbody is sorted by itself. Nothing is remembered: a reload shows the server's order.
 */
const MANY = 10;
const NUMBER = /[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?/i;
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** What a cell is sorted by; null: it has no value, and goes last in either order. */
export function valueOf(text, isNumber) {
  const plain = text.replaceAll("−", "-").replaceAll("–", " ").trim();
  if (!plain) return null;
  if (!isNumber) return plain;
  const found = NUMBER.exec(plain);
  return found ? Number(found[0].replaceAll(",", "")) : null;
}

/** Rows in the order of their values; equal ones, and those without a value, stay as they were. */
export function inOrder(rows, value, isDescending) {
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  const valued = rows.map((row) => ({ row, by: value(row) }));
  const known = valued.filter((each) => each.by !== null);
  known.sort((a, b) => (isDescending ? compare(b.by, a.by) : compare(a.by, b.by)));
  return [...known, ...valued.filter((each) => each.by === null)].map((each) => each.row);
}

/** The cell of a row in a column, counted with what cells span; undefined: one spans over it. */
function cellAt(row, column) {
  let place = 0;
  for (const cell of row.cells) {
    if (place === column) return cell.colSpan === 1 ? cell : undefined;
    place += cell.colSpan;
  }
  return undefined;
}

/** The rows that can be moved and left out. */
function rowsOf(body) {
  return [...body.rows].filter((row) => !row.querySelector("th[scope=rowgroup]"));
}

function text(row, column) {
  const cell = cellAt(row, column);
  return cell ? (cell.dataset.value ?? cell.textContent) : "";
}

/** Whether a column has an order: one of buttons has none, nor has one of intervals. */
function hasOrder(table, header, column) {
  if (!header.textContent.trim() || "unsorted" in header.dataset) return false;
  const rows = [...table.tBodies].flatMap(rowsOf);
  return !rows.some((row) => /^\s*\[/.test(text(row, column)));
}

function makeSortable(table) {
  const [heads] = table.tHead?.rows ?? [];
  if (!heads || table.tHead.rows.length > 1) return;
  // The server's order, in which rows of equal value stay.
  const original = new Map([...table.tBodies].map((body) => [body, rowsOf(body)]));
  [...heads.cells].forEach((header, column) => {
    if (header.tagName !== "TH" || !hasOrder(table, header, column)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const isDescending = header.getAttribute("aria-sort") === "ascending";
      for (const other of heads.cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      const isNumber = header.classList.contains("number");
      const value = (row) => valueOf(text(row, column), isNumber);
      for (const [body, rows] of original) body.append(...inOrder(rows, value, isDescending));
    });
  });
}

function makeFilterable(table) {
  const rows = [...table.tBodies].flatMap(rowsOf);
  if (rows.length < MANY) return;
  const line = document.createElement("p");
  line.className = "row rows-shown";
  const label = document.createElement("label");
  const field = document.createElement("input");
  const shown = document.createElement("span");
  field.type = "search";
  field.autocomplete = "off";
  label.append(table.dataset.filter || "Filter", " ", field);
  shown.className = "quiet";
  shown.role = "status";
  line.append(label, shown);
  (table.closest(".scroll") ?? table).before(line);
  const look = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const said = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => said.includes(word));
      left += !row.hidden;
    }
    shown.textContent = words.length ? `${left} of ${rows.length} rows` : `${rows.length} rows`;
  };
  field.addEventListener("input", look);
  look();
}

function improve(part) {
  for (const table of part.querySelectorAll("table[data-sortable]:not([data-improved])")) {
    table.dataset.improved = "";
    makeSortable(table);
    if ("filter" in table.dataset) makeFilterable(table);
  }
}

improve(document);
document.addEventListener("htmx:load", (event) => improve(event.target)); // what htmx brings later
