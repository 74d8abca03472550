// What is typed is shown as the next runs, a moment after the last key; the server knows how. Nothing blinks: the page
// changes only where something else is to be said.
document.addEventListener("DOMContentLoaded", () => {
  const PAUSE = 180;
  const shown = document.getElementById("schedule-preview");
  const form = shown.closest("form");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let timer = 0;
  let latest = 0;
  let last = "";

  async function show() {
    const request = ++latest;
    const data = new FormData(form);
    data.append("schedule", shown.dataset.schedule);
    data.append("viewer_zone", zone);
    try {
      const answer = await fetch(shown.dataset.address, { method: "POST", body: data, credentials: "same-origin" });
      const text = await answer.text();
      if (request !== latest) return;
      if (!answer.ok || answer.redirected) throw new Error(`the server answered ${answer.status}`);
      if (text === last) return;
      last = text;
      draw(text);
    } catch (error) {
      if (request !== latest) return;
      last = "";
      shown.textContent = `The next runs cannot be shown: ${error.message}. What you have typed is still here.`;
    }
  }

  function draw(text) {
    const drawn = new DOMParser().parseFromString(text, "text/html").body;
    const elsewhere = drawn.querySelector("[data-elsewhere]");
    for (const part of elsewhere.children) {
      const place = document.getElementById(part.dataset.for);
      if (place && place.textContent !== part.textContent) {
        part.tagName === "DL" ? place.replaceChildren(part.cloneNode(true)) : (place.textContent = part.textContent);
      }
    }
    elsewhere.remove();
    const inner = drawn.innerHTML.trim();
    if (shown.innerHTML.trim() !== inner) shown.innerHTML = inner;
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(show, PAUSE);
  }

  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  show();
});
