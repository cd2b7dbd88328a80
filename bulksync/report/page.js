(() => {
  "use strict";
  const table = document.getElementById("not-done");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const [search, outcome, error, clear, found] = ["search", "outcome", "error", "clear", "found"].map((id) =>
    document.getElementById(id));
  const at = (name) => heads.findIndex((head) => head.dataset.name === name);
  const rows = [...body.rows].map((line) => {
    const cells = [...line.cells].map((cell) => cell.textContent.trim());
    return { line, cells, text: cells.join("\n").toLowerCase() };
  });

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { line, cells, text } of rows) {
      const fits = (!outcome.value || cells[at("outcome")] === outcome.value) &&
        (!error.value || cells[at("error")] === error.value) && words.every((word) => text.includes(word));
      line.hidden = !fits;
      shown += fits;
    }
    found.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} listed rows`;
  }

  function sort(head) {
    const column = heads.indexOf(head);
    const isNumber = head.dataset.type === "number";
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    rows.sort(({ cells: { [column]: a } }, { cells: { [column]: b } }) => {
      if (!a || !b) return !a - !b; // empty cells stand last, whichever way
      return sign * (isNumber ? a - b : a < b ? -1 : a > b ? 1 : 0);
    });
    body.append(...rows.map(({ line }) => line));
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }
  search.addEventListener("input", filter);
  for (const field of [outcome, error]) field.addEventListener("change", filter);
  clear.addEventListener("click", () => {
    for (const field of [search, outcome, error]) field.value = "";
    filter();
    search.focus();
  });
  for (const link of document.querySelectorAll("a[data-error]")) {
    link.addEventListener("click", () => {
      search.value = outcome.value = "";
      error.value = link.dataset.error;
      filter();
    });
  }
  document.getElementById("filters").hidden = false;
  filter();
})();
