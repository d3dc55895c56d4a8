"use strict";

// Tables of class "sortable": a button in a head sorts the rows by its column, once more turns the order round.
// Numbers come as data-value; what is not a number stands last in either order.
function makeSortable(table) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const column = Number(button.dataset.column);
      const rows = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.value }));
      rows.sort((a, b) => (column ? compareNumbers : compareNames)(a.value, b.value, descending ? -1 : 1));
      body.append(...rows.map(({ row }) => row));
    });
  }
}

function compareNumbers(a, b, sign) {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
  return x === y ? 0 : sign * (x < y ? -1 : 1);
}

function compareNames(a, b, sign) {
  return sign * a.localeCompare(b, undefined, { numeric: true });
}
