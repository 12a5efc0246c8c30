"use strict";
// The table of frames: sorted by a column, filtered, and drawn a hundred rows at a time.

const ROWS_SHOWN = 100;

// `data` as the page gives it; `marking`: {of(frame), set(frame, mark), names}; `choose(position)`.
// Gives {show(position), refresh()}.
function makeFramesTable(data, marking, choose) {
  const table = document.getElementById("table");
  const filter = document.getElementById("filter");
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const earlier = document.getElementById("previous");
  const further = document.getElementById("next");
  const differs = data.values.some((value, n) => value !== "" && value !== String(data.frames[n]));
  const columns = [
    { title: "frame", unit: "", values: data.frames },
    ...(differs ? [{ ...data.index, values: data.values, words: true }] : []),
    { title: "status", unit: "", values: data.status, words: true },
    { title: "what stands out", unit: "", values: data.odd, words: true, long: true },
    ...data.columns,
  ];
  const searched = data.frames.map((frame, n) => `${frame} ${data.values[n]} ${data.status[n]} ${data.odd[n]}`.toLowerCase());
  let sorting = { column: 0, up: true };
  let order = [];
  let start = 0;
  let chosen = null;

  const kept = {
    all: () => true,
    odd: (n) => data.odd[n] !== "" && data.status[n] !== "failed",
    failed: (n) => data.status[n] === "failed",
    marked: (n) => Boolean(marking.of(data.frames[n])),
    unmarked: (n) => (data.odd[n] !== "" || data.status[n] === "failed") && !marking.of(data.frames[n]),
  };

  function arrange() {
    const words = search.value.trim().toLowerCase();
    const isKept = kept[filter.value];
    const number = /^\d+$/.test(words) ? Number(words) : null;
    order = data.frames.map((_, n) => n).filter((n) =>
      isKept(n) && (words === "" || (number !== null ? data.frames[n] === number : searched[n].includes(words))));
    const values = columns[sorting.column].values;
    const sign = sorting.up ? 1 : -1;
    const empty = (value) => value === null || value === "";
    order.sort((a, b) => {
      if (empty(values[a]) || empty(values[b])) return empty(values[a]) - empty(values[b]) || a - b;
      if (typeof values[a] === "number") return sign * (values[a] - values[b]) || a - b;
      return sign * values[a].localeCompare(values[b], undefined, { numeric: true }) || a - b;
    });
  }

  function head() {
    const row = htmlElement("tr");
    columns.forEach((column, n) => {
      const direction = n !== sorting.column ? "none" : sorting.up ? "ascending" : "descending";
      const cell = htmlElement("th", { scope: "col", "aria-sort": direction, class: column.words ? "words" : "" });
      const title = column.title + (column.unit ? ` (${column.unit})` : "");
      const button = htmlElement("button", { type: "button" }, title);
      cell.dataset.title = title;
      button.addEventListener("click", () => {
        sorting = { column: n, up: sorting.column === n ? !sorting.up : true };
        start = 0;
        refresh();
        table.querySelectorAll("th button")[n].focus();
      });
      cell.appendChild(button);
      row.appendChild(cell);
    });
    row.children[0].after(htmlElement("th", { scope: "col", class: "words" }, "mark"));
    const part = htmlElement("thead");
    part.appendChild(row);
    return part;
  }

  function bodyRow(n) {
    const row = htmlElement("tr", { "data-frame": data.frames[n], class: n === chosen ? "chosen" : "" });
    columns.forEach((column) => {
      const value = column.values[n];
      const kind = column.words ? (column.long ? "words long" : "words") : "";
      const text = typeof value === "string" ? value : column.values === data.frames ? String(value) : shortNumber(value);
      row.appendChild(htmlElement("td", { class: kind }, text));
    });
    const select = htmlElement("select", { "aria-label": `mark of frame ${data.frames[n]}` });
    for (const name of ["", ...marking.names]) select.appendChild(htmlElement("option", { value: name }, name));
    select.value = marking.of(data.frames[n]) || "";
    select.addEventListener("click", (event) => event.stopPropagation());
    select.addEventListener("change", () => marking.set(data.frames[n], select.value));
    const cell = htmlElement("td", { class: "words" });
    cell.appendChild(select);
    row.children[0].after(cell);
    row.addEventListener("click", () => choose(n));
    return row;
  }

  function draw() {
    const body = htmlElement("tbody");
    const shown = order.slice(start, start + ROWS_SHOWN);
    shown.forEach((n) => body.appendChild(bodyRow(n)));
    table.replaceChildren(head(), body);
    const range = shown.length ? `rows ${start + 1} to ${start + shown.length} of ${order.length}` : "no rows";
    count.textContent = range + (order.length < data.frames.length ? `, ${data.frames.length} frames in all` : "");
    earlier.disabled = start === 0;
    further.disabled = start + ROWS_SHOWN >= order.length;
  }

  function refresh() {
    arrange();
    if (start >= order.length) start = 0;
    draw();
  }

  function again() {
    start = 0;
    refresh();
  }
  filter.addEventListener("change", again);
  search.addEventListener("input", again);
  earlier.addEventListener("click", () => { start = Math.max(0, start - ROWS_SHOWN); draw(); });
  further.addEventListener("click", () => { start += ROWS_SHOWN; draw(); });

  // The row of a frame, on its page of the table, with nothing hiding it.
  function show(position) {
    chosen = position;
    if (!order.includes(position)) {
      filter.value = "all";
      search.value = "";
      arrange();
    }
    start = Math.floor(order.indexOf(position) / ROWS_SHOWN) * ROWS_SHOWN;
    draw();
    return table.querySelector("tr.chosen");
  }

  refresh();
  return { show, refresh: draw };
}
