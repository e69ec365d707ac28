"use strict";
// All works without this but two comforts: a link to a holder opens it, and paper shows the evidence.
const open = (hash) => {
  const target = document.getElementById(hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest('a[href^="#"]');
  if (link) open(link.getAttribute("href"));
});
open(location.hash);
let shut = [];
addEventListener("beforeprint", () => {
  shut = [...document.querySelectorAll("details.holder:not([open])")];
  for (const details of shut) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of shut) details.open = false;
});
