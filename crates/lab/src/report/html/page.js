// SPDX-License-Identifier: BSD-3-Clause
"use strict";
document.documentElement.classList.add("script");
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}
for (const table of document.querySelectorAll("table.matrix")) {
  let lit = [];
  table.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("td");
    for (const one of lit) one.classList.remove("lit");
    lit = cell === null ? [] : [...table.rows].map((row) => row.cells[cell.cellIndex]).filter((one) => one?.tagName === "TD");
    for (const one of lit) one.classList.add("lit");
  });
}
const reveal = () => {
  const target = location.hash === "" ? null : document.getElementById(location.hash.slice(1));
  for (let at = target; at !== null; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
