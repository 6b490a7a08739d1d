// Headings of sortable tables become buttons. Without script they stay headings.
"use strict";
for (const table of document.querySelectorAll("table[data-sort]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const status = table.closest(".block").querySelector(".sorted");
  heads.forEach((head, column) => {
    if (!head.hasAttribute("data-by")) return;
    const name = head.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = head.dataset.by === "number";
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numbers;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = numbers
        ? (a, b) => Number(key(a)) - Number(key(b))
        : (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
      const rows = [...body.rows].sort(compare);
      if (down) rows.reverse();
      body.append(...rows);
      status.textContent = `Sorted by ${name}, ${down ? "largest or last first" : "smallest or first first"}.`;
    });
  });
}
