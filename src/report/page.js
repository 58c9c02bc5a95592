"use strict";
const at = id => document.getElementById(id);
// The list: filter, search and order choose among the rows, and one page of them is shown.
const PAGE = 100, STATE = 2;
const rows = JSON.parse(at("data").textContent);
const states = [["done", "Done"], ["warned", "Done with warnings"], ["failed", "Failed"]];
const size = ([width, height]) => width ? `${width} × ${height}` : "–";
const bytes = n => {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 999.95) return unit === "B" ? `${n} B` : `${n.toFixed(1)} ${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)} TB`;
};
const plain = text => text || "–";
const shown = [plain, plain, state => states[state][1], plain, size, size, bytes, bytes, s => `${s.toFixed(2)} s`, plain, plain, plain];
const key = value => Array.isArray(value) ? value[0] * value[1] : value;
const view = { show: "all", words: "", column: -1, turned: false, page: 0 };
function list() {
  let found = rows.filter(row => view.show === "all" || states[row[STATE]][0] === view.show);
  if (view.words) found = found.filter(row => [0, 1, 11].some(i => row[i].toLowerCase().includes(view.words)));
  if (view.column >= 0) {
    const text = new Intl.Collator(undefined, { numeric: true });
    const of = row => key(row[view.column]);
    found.sort((a, b) => typeof of(a) === "number" ? of(a) - of(b) : text.compare(of(a), of(b)));
    if (view.turned) found.reverse();
  }
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  view.page = Math.min(view.page, pages - 1);
  const first = view.page * PAGE;
  at("rows").replaceChildren(...found.slice(first, first + PAGE).map(row => {
    const line = document.createElement("tr");
    line.className = states[row[STATE]][0];
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.textContent = shown[i](value);
      cell.dir = "auto";
      if (i >= 4 && i <= 8) cell.className = "number";
      if (i === 11) cell.className = "message";
    });
    return line;
  }));
  at("place").textContent = found.length ? `${first + 1}–${Math.min(first + PAGE, found.length)} of ${found.length}` : "none";
  at("previous").disabled = view.page === 0;
  at("next").disabled = view.page === pages - 1;
}
at("previous").addEventListener("click", () => { view.page--; list(); });
at("next").addEventListener("click", () => { view.page++; list(); });
at("search").addEventListener("input", event => { Object.assign(view, { words: event.target.value.toLowerCase(), page: 0 }); list(); });
// A second press on a column turns the order around.
const headers = document.querySelectorAll(".list th");
headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
  Object.assign(view, { turned: view.column === column && !view.turned, column, page: 0 });
  for (const other of headers) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", view.turned ? "descending" : "ascending");
  list();
}));
// Only assets with warnings, or only failed ones.
const filters = document.querySelectorAll("[data-show]");
for (const filter of filters) {
  filter.addEventListener("click", () => {
    for (const other of filters) other.setAttribute("aria-pressed", other === filter);
    Object.assign(view, { show: filter.dataset.show, page: 0 });
    for (const item of document.querySelectorAll("article"))
      item.hidden = view.show !== "all" && !item.classList.contains(view.show);
    list();
  });
}
list();
// Both pictures on top of each other, with a line to move between them. A crop decides where the original lies.
const dialog = document.getElementById("compare");
let zoom = 1, pair = null;
function place() {
  const [before, after, crop] = pair;
  const width = after.naturalWidth * zoom, height = after.naturalHeight * zoom;
  Object.assign(at("layers").style, { width: width + "px", height: height + "px" });
  at("layers").classList.toggle("pixels", zoom > 1);
  Object.assign(at("layer-after").style, { width: width + "px", height: height + "px" });
  const part = name => crop ? parseFloat(crop.style[name]) / 100 : { left: 0, top: 0, width: 1, height: 1 }[name];
  const wide = width / part("width"), high = height / part("height");
  Object.assign(at("layer-before").style, {
    width: wide + "px", height: high + "px", left: -part("left") * wide + "px", top: -part("top") * high + "px",
  });
  at("reveal").style.width = at("wipe").value + "%";
  at("zoom").textContent = Math.round(zoom * 100) + " %";
}
for (const article of document.querySelectorAll("article")) {
  const images = article.querySelectorAll(".picture img");
  if (images.length !== 2) continue;
  for (const image of images) {
    const open = () => {
      pair = [images[0], images[1], article.querySelector(".crop")];
      at("layer-before").src = images[0].src;
      at("layer-after").src = images[1].src;
      at("compare-name").textContent = article.querySelector("h2 bdi").textContent;
      zoom = 1;
      dialog.showModal();
      place();
    };
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.addEventListener("click", open);
    image.addEventListener("keydown", event => { if (event.key === "Enter") open(); });
  }
}
at("wipe").addEventListener("input", place);
at("zoom-in").addEventListener("click", () => { zoom = Math.min(8, zoom * 2); place(); });
at("zoom-out").addEventListener("click", () => { zoom = Math.max(0.25, zoom / 2); place(); });
at("close").addEventListener("click", () => dialog.close());
