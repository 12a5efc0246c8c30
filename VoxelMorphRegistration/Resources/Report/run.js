"use strict";
// What ties the page of a run together: the frame that is chosen, and the marks.

const MARKS = ["fine", "wrong", "redo"];

// Marks by frame, kept by the browser where it keeps anything for a page from a file.
function makeMarks(key, changed) {
  let kept = true;
  let marks = {};
  try {
    marks = JSON.parse(window.localStorage.getItem(key) || "{}");
    window.localStorage.setItem(key, JSON.stringify(marks));
  } catch (error) {
    kept = false;
  }
  function set(frame, mark) {
    if (mark) marks[frame] = mark;
    else delete marks[frame];
    save();
  }
  function save() {
    try {
      window.localStorage.setItem(key, JSON.stringify(marks));
    } catch (error) {
      kept = false;
    }
    changed();
  }
  return {
    names: MARKS,
    of: (frame) => marks[frame],
    set,
    frames: (kinds) => Object.keys(marks).map(Number).filter((frame) => kinds.includes(marks[frame])).sort((a, b) => a - b),
    forget: () => { marks = {}; save(); },
    kept: () => kept,
  };
}

// The list that `--frames @list.txt` takes.
function markList(frames, kinds, title) {
  return `# ${title}: frames marked ${kinds.join(" or ")}\n` + frames.map((frame) => `${frame}\n`).join("");
}

// The folder of this page as a path on this computer; "DIR" for a page from elsewhere.
function ownFolder() {
  if (window.location.protocol !== "file:") return "DIR";
  const path = decodeURIComponent(window.location.pathname).replace(/\/[^/]*$/, "");
  return /^\/[A-Za-z]:/.test(path) ? path.slice(1) : path;
}

function slicerLines(data, frame, position) {
  const file = `${ownFolder()}/segmentation/${String(frame).padStart(data.digits, "0")}.nrrd`;
  const text = (value) => JSON.stringify(value);
  const image = data.files.length ? data.files[position] : "";
  const lines = [`slicer.util.loadSegmentation(${text(file)})`];
  if (image) lines.push(`slicer.util.loadVolume(${text(image)})  # with the folder of the frames before its name`);
  else if (data.sequence) lines.push(`slicer.util.loadSequence(${text(data.sequence)})  # then go to item ${frame}; with its folder before its name`);
  else lines.push(`# then load frame ${frame} of the sequence`);
  return lines.join("\n");
}

function startRunPage() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (name) => document.getElementById(name);
  const positions = new Map(data.frames.map((frame, n) => [frame, n]));
  const charts = [];
  const marks = makeMarks(data.key, () => refreshMarks());
  const table = makeFramesTable(data, marks, (position) => choose(position, false));
  let chosen = null;

  function point(position) {
    for (const chart of charts) chart.point(position);
  }

  // `jump`: go to the frame's card, or to its row where it has none.
  function choose(position, jump) {
    const frame = data.frames[position];
    chosen = position;
    for (const chart of charts) chart.choose(position);
    for (const old of document.querySelectorAll(".chosen-frame")) old.classList.remove("chosen-frame");
    const row = table.show(position);
    const card = byId(`frame-${frame}`);
    if (card) card.classList.add("chosen-frame");
    byId("open-in-slicer").textContent = slicerLines(data, frame, position);
    if (jump) {
      (card || row).scrollIntoView({ block: "center" });
      if (card) card.focus({ preventScroll: true });
    }
    window.history.replaceState(null, "", `#frame-${frame}`);
  }

  if (data.frames.length) {
    const odd = data.frames.map((_, n) => n).filter((n) => data.odd[n] && data.status[n] !== "failed");
    const failed = data.frames.map((_, n) => n).filter((n) => data.status[n] === "failed");
    for (const content of data.charts) {
      charts.push(makeChart(byId("charts"), content, data.frames, { odd, failed }, { point, choose: (n) => choose(n, true) }));
    }
  }

  function refreshMarks() {
    for (const group of document.querySelectorAll(".marks")) {
      for (const button of group.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(marks.of(Number(group.dataset.frame)) === button.dataset.mark));
      }
    }
    const counts = MARKS.map((name) => [name, marks.frames([name]).length]).filter(([, count]) => count);
    byId("mark-count").textContent = counts.map(([name, count]) => `${count} ${name}`).join(", ") || "none yet";
    byId("no-storage").hidden = marks.kept();
    byId("export").disabled = marks.frames(exportKinds()).length === 0;
    byId("redo").textContent = data.command.replace("@LIST", `@${exportName()}`);
    table.refresh();
  }
  const exportKinds = () => byId("export-kind").value.split(" ");
  const exportName = () => `frames-${exportKinds().join("-")}.txt`;

  for (const group of document.querySelectorAll(".marks")) {
    const frame = Number(group.dataset.frame);
    for (const name of MARKS) {
      const button = htmlElement("button", { type: "button", "data-mark": name, "aria-label": `mark frame ${frame} ${name}` }, name);
      button.addEventListener("click", () => marks.set(frame, marks.of(frame) === name ? "" : name));
      group.appendChild(button);
    }
  }
  byId("export-kind").addEventListener("change", refreshMarks);
  byId("export").addEventListener("click", () => {
    const list = markList(marks.frames(exportKinds()), exportKinds(), document.title);
    const link = htmlElement("a", { download: exportName(), href: URL.createObjectURL(new Blob([list], { type: "text/plain" })) });
    document.body.appendChild(link);
    link.click();
    link.remove();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  byId("forget").addEventListener("click", () => marks.forget());

  for (const still of document.querySelectorAll(".still")) {
    still.addEventListener("click", () => choose(positions.get(Number(still.dataset.frame)), true));
  }

  // Keys while a card has the focus.
  byId("cards").addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
    const mark = { f: "fine", w: "wrong", r: "redo" }[event.key];
    if (mark) marks.set(Number(card.dataset.frame), mark);
    const next = event.key === "n" ? card.nextElementSibling : event.key === "p" ? card.previousElementSibling : null;
    if (next) choose(positions.get(Number(next.dataset.frame)), true);
  });

  for (const place of document.querySelectorAll(".folder")) place.textContent = ownFolder();
  const state = byId("state");
  if (state && state.dataset.state === "running") {
    const minutes = (Date.now() / 1000 - Number(state.dataset.made)) / 60;
    byId("stale").hidden = minutes < 5;
    byId("age").textContent = minutes < 120 ? `${Math.round(minutes)} minutes` : `${Math.round(minutes / 60)} hours`;
  }
  refreshMarks();
  const wanted = positions.get(Number((window.location.hash.match(/^#frame-(\d+)$/) || [])[1]));
  if (wanted !== undefined) choose(wanted, true);
  else if (data.frames.length) byId("open-in-slicer").textContent = slicerLines(data, data.frames[0], 0);
}

startRunPage();
