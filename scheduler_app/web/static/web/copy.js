"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // No clipboard without HTTPS, except on this machine: the text is selected, for Ctrl-C.
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    }
  });
}
