"use strict";
// The boxes that show and hide the outlines before and after.

for (const name of ["before", "after"]) {
  const box = document.getElementById(`show-${name}`);
  if (box) box.addEventListener("change", () => document.body.classList.toggle(`hide-${name}`, !box.checked));
}
