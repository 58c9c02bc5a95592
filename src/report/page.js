"use strict";
// Sorting by a column; a second press turns the order around.
for (const header of document.querySelectorAll("th")) {
  header.querySelector("button").addEventListener("click", () => {
    const turned = header.getAttribute("aria-sort") === "ascending";
    for (const other of document.querySelectorAll("th")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", turned ? "descending" : "ascending");
    const key = row => row.cells[header.cellIndex].dataset.sort ?? row.cells[header.cellIndex].textContent;
    const compare = (a, b) => key(a).localeCompare(key(b), undefined, { numeric: true });
    const number = (a, b) => Number(key(a)) - Number(key(b));
    const body = document.querySelector("tbody");
    const rows = [...body.rows];
    const order = rows.every(row => row.cells[header.cellIndex].dataset.sort !== undefined) ? number : compare;
    rows.sort(order);
    if (turned) rows.reverse();
    body.append(...rows);
  });
}
// Only assets with warnings, or only failed ones.
const filters = document.querySelectorAll("[data-show]");
for (const filter of filters) {
  filter.addEventListener("click", () => {
    for (const other of filters) other.setAttribute("aria-pressed", other === filter);
    const show = filter.dataset.show;
    for (const item of document.querySelectorAll("article, tbody tr"))
      item.hidden = show !== "all" && !item.classList.contains(show);
  });
}
// Both pictures on top of each other, with a line to move between them. A crop decides where the original lies.
const dialog = document.getElementById("compare");
const at = id => document.getElementById(id);
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
