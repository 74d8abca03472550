// Choosing another job brings that job's parameters; the server draws them, as part of this same page.
document.addEventListener("DOMContentLoaded", () => {
  const job = document.getElementById("id_task");
  let latest = 0;

  job.addEventListener("change", async () => {
    const request = ++latest;
    const parameters = document.getElementById("job-parameters");
    parameters.setAttribute("aria-busy", "true");
    const address = new URL(window.location.pathname, window.location.origin);
    address.searchParams.set("job", job.value);
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const drawn = page.getElementById("job-parameters");
      if (request !== latest) return; // another one was chosen meanwhile
      if (!answer.ok || !drawn) throw new Error(`the server answered ${answer.status}`);
      parameters.replaceWith(drawn);
    } catch (error) {
      parameters.textContent = `The parameters cannot be shown: ${error.message}. Save your work elsewhere and reload the page.`;
      parameters.removeAttribute("aria-busy");
    }
  });
});

// A preset fills in its fields, as if they had been typed; a field that is changed afterwards makes it one's own choice.
document.addEventListener("DOMContentLoaded", () => {
  const preset = document.getElementById("id_preset");
  const presets = JSON.parse(preset.dataset.presets);
  const fields = Object.keys(Object.values(presets)[0]).map((name) => document.getElementById(`id_${name}`));

  preset.addEventListener("change", () => {
    for (const [name, value] of Object.entries(presets[preset.value] ?? {})) {
      document.getElementById(`id_${name}`).value = value;
    }
  });
  for (const field of fields) {
    field.addEventListener("input", () => {
      preset.value = "";
    });
  }
});

// What is typed is shown as the next runs, a moment after the last key; the server knows how.
document.addEventListener("DOMContentLoaded", () => {
  const PAUSE = 250;
  const shown = document.getElementById("schedule-preview");
  const form = shown.closest("form");
  let timer = 0;
  let latest = 0;

  async function show() {
    const request = ++latest;
    const data = new FormData(form);
    data.append("schedule", shown.dataset.schedule);
    try {
      const answer = await fetch(shown.dataset.address, { method: "POST", body: data, credentials: "same-origin" });
      const text = await answer.text();
      if (request !== latest) return;
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      shown.innerHTML = text;
    } catch (error) {
      shown.textContent = `The next runs cannot be shown: ${error.message}.`;
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(show, PAUSE);
  }

  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  soon();
});
