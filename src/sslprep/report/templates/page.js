// What a page can do beyond being read: sort, copy, save, enlarge. Without script it is all there.
"use strict";
const make = (tag, text, css) => Object.assign(document.createElement(tag), { textContent: text, className: css ?? "" });
const button = (text, label, act) => {
  const made = make("button", text, "tool");
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(made));
  return made;
};

// A number as it is written: 1,234 or < 0.1 % or 2.5 × or ∞; what is none comes below all.
const number = (text) => {
  const value = parseFloat(text.replace(/^[<>] |,/g, "").replace("∞", "Infinity"));
  return Number.isNaN(value) ? -1 : value;
};

// Headings of sortable tables become buttons.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const status = table.closest(".block").querySelector(".sorted");
  heads.forEach((head, column) => {
    if (!head.hasAttribute("data-by")) return;
    const name = head.textContent.trim();
    head.replaceChildren(button(name, "", () => {
      const numbers = head.dataset.by === "number";
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numbers;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent.trim();
      const compare = numbers
        ? (a, b) => number(key(a)) - number(key(b)) || 0
        : (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
      const rows = [...body.rows].sort(compare);
      if (down) rows.reverse();
      body.append(...rows);
      status.textContent = `Sorted by ${name}, ${down ? "largest or last first" : "smallest or first first"}.`;
    }));
  });
}

// Listings and command lines can be copied.
for (const code of document.querySelectorAll(".listing code")) {
  const name = code.closest(".listing").getAttribute("aria-label");
  code.closest(".block").prepend(button("Copy", `Copy: ${name}`, async (pressed) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    pressed.textContent = "Copied";
    setTimeout(() => { pressed.textContent = "Copy"; }, 2000);
  }));
}

// Drawings can be saved as SVG: side by side, with their style and the photos that they show.
const svgns = "http://www.w3.org/2000/svg";
for (const figure of document.querySelectorAll("figure")) {
  const title = figure.querySelector("h4").textContent;
  figure.querySelector("figcaption").prepend(button("SVG", `Save as SVG: ${title}`, () => {
    const whole = document.createElementNS(svgns, "svg");
    const style = document.createElementNS(svgns, "style");
    style.textContent = document.querySelector("#drawing-style").textContent;
    whole.append(style);
    let x = 0, tall = 0;
    for (const drawing of figure.querySelectorAll(".canvas > svg")) {
      const { width, height } = drawing.viewBox.baseVal;
      const copy = drawing.cloneNode(true);
      for (const [name, value] of Object.entries({ x, y: 0, width, height })) copy.setAttribute(name, value);
      whole.append(copy);
      x += width + 10;
      tall = Math.max(tall, height);
    }
    whole.setAttribute("viewBox", `0 0 ${x - 10} ${tall}`);
    const text = new XMLSerializer().serializeToString(whole);
    const link = make("a", "");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`;
    link.click();
  }));
}

// Photos enlarge.
const viewer = make("dialog", "", "viewer");
const large = make("img", "");
const words = make("p", "");
viewer.setAttribute("aria-label", "Photo, enlarged");
viewer.append(button("Close", "", () => viewer.close()), large, words);
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
for (const image of document.querySelectorAll(".gallery img")) {
  const around = button("", `Enlarge ${image.alt}`, () => {
    document.body.append(viewer);
    Object.assign(large, { src: image.src, alt: image.alt });
    words.textContent = image.alt;
    viewer.classList.toggle("pixels", image.closest(".pair") !== null);
    viewer.showModal();
  });
  around.className = "enlarge";
  image.replaceWith(around);
  around.append(image);
}
