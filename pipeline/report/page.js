// Opens and closes all steps at once, and opens them on paper. The page is complete without it.
const steps = [...document.querySelectorAll(".funnel details")];
const toggle = document.getElementById("toggle");

const name = () => (toggle.textContent = steps.every((step) => step.open) ? "Close all" : "Open all");

toggle.hidden = steps.length === 0;
toggle.addEventListener("click", () => {
  const open = !steps.every((step) => step.open);
  steps.forEach((step) => (step.open = open));
});
steps.forEach((step) => step.addEventListener("toggle", name));

let openBefore = [];
addEventListener("beforeprint", () => {
  openBefore = steps.map((step) => step.open);
  steps.forEach((step) => (step.open = true));
});
addEventListener("afterprint", () => steps.forEach((step, place) => (step.open = openBefore[place])));
