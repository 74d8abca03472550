// A button with data-copy puts the text of the element of that id on the clipboard, and says so.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).value;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // No clipboard without https or localhost: the text shows, to be copied by hand.
      const place = document.getElementById(button.dataset.copy);
      place.hidden = false;
      place.classList.remove("hidden");
      place.removeAttribute("aria-hidden");
      place.setAttribute("aria-label", button.textContent);
      place.removeAttribute("tabindex");
      place.focus();
      place.select();
    }
  });
}
