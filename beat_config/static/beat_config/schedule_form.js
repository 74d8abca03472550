// Choosing another job brings that job's parameters; the server draws them, as part of this same page. What was typed
// for a job that is chosen again is still there.
document.addEventListener("DOMContentLoaded", () => {
  const job = document.getElementById("id_task");
  const typed = new Map();
  let current = job.value;
  let latest = 0;

  job.addEventListener("change", async () => {
    const request = ++latest;
    const parameters = document.getElementById("job-parameters");
    if (!parameters.hasAttribute("data-broken")) typed.set(current, parameters);
    current = job.value;
    if (typed.has(job.value)) return parameters.replaceWith(typed.get(job.value));
    parameters.setAttribute("aria-busy", "true");
    const address = new URL(window.location.pathname, window.location.origin);
    address.searchParams.set("job", job.value);
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const drawn = page.getElementById("job-parameters");
      if (request !== latest) return; // another one was chosen meanwhile
      if (!answer.ok || !drawn) throw new Error(`the server answered ${answer.status}`);
      document.getElementById("job-parameters").replaceWith(drawn);
      showParameterRows(drawn);
    } catch (error) {
      const broken = parameters.cloneNode(false);
      broken.setAttribute("data-broken", "");
      broken.textContent = `The parameters cannot be shown: ${error.message}. Choose the job again in a moment.`;
      document.getElementById("job-parameters").replaceWith(broken);
    } finally {
      parameters.removeAttribute("aria-busy");
    }
  });
});

// A preset fills in its fields, as if they had been typed; a field that is changed afterwards makes it one's own choice.
document.addEventListener("DOMContentLoaded", () => {
  const holder = document.querySelector("[data-presets]");
  const presets = JSON.parse(holder.dataset.presets);
  const fields = Object.keys(Object.values(presets)[0]).map((name) => document.getElementById(`id_${name}`));

  holder.addEventListener("change", (event) => {
    for (const [name, value] of Object.entries(presets[event.target.value] ?? {})) {
      document.getElementById(`id_${name}`).value = value;
    }
    if (event.target.value === "") document.getElementById("fold-policies").open = true;
  });
  for (const field of fields) {
    field.addEventListener("input", () => {
      holder.querySelector('input[value=""]').checked = true;
    });
  }
});

// A city fills in where it is; typed degrees are no city's.
document.addEventListener("DOMContentLoaded", () => {
  const city = document.getElementById("id_city");
  const degrees = ["latitude", "longitude"].map((name) => document.getElementById(`id_${name}`));
  city.addEventListener("change", () => {
    const chosen = city.selectedOptions[0];
    if (!chosen.dataset.latitude) return;
    degrees[0].value = chosen.dataset.latitude;
    degrees[1].value = chosen.dataset.longitude;
  });
  for (const field of degrees) {
    field.addEventListener("input", () => {
      city.value = "";
    });
  }
});

// A test run: nothing is saved and the page stays; what is wrong is said at its field.
document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("test-run-button");
  if (!button) return;
  const form = button.form;
  const said = document.getElementById("test-run");
  button.hidden = false;

  function complain(problems) {
    for (const old of form.querySelectorAll("[data-from-test]")) old.remove();
    let first = null;
    for (const [name, sentences] of Object.entries(problems)) {
      const row = form.querySelector(`[data-field="${name}"]`);
      if (!row) continue;
      const list = document.createElement("ul");
      list.className = "errorlist";
      list.dataset.fromTest = "";
      list.id = `id_${name}_test_error`;
      for (const sentence of sentences) list.append(Object.assign(document.createElement("li"), { textContent: sentence }));
      row.querySelector(".form-errors").replaceChildren(list);
      const field = row.querySelector("input:not([type=hidden]), select, textarea:not([hidden])");
      field?.setAttribute("aria-invalid", "true");
      field?.setAttribute("aria-errormessage", list.id);
      first ??= field;
    }
    first?.focus();
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    said.className = "";
    said.textContent = "The test run is being started …";
    const data = new FormData(form);
    data.append("schedule", document.getElementById("schedule-preview").dataset.schedule);
    try {
      const answer = await fetch(button.dataset.address, { method: "POST", body: data, credentials: "same-origin" });
      if (answer.status === 403) throw new Error("you may not run this job");
      if (answer.status !== 422 && !answer.ok) throw new Error(`the server answered ${answer.status}`);
      const result = await answer.json();
      complain(result.problems ?? {});
      if (result.problems) {
        said.textContent = "Nothing was started: something is missing or wrong, as said at its field.";
        said.className = "test-run-wrong";
        return;
      }
      const link = Object.assign(document.createElement("a"), { href: result.address, target: "_blank", textContent: `run ${result.run}` });
      said.replaceChildren("Nothing is saved. See ", link, ", in a window of its own.");
      said.className = "test-run-started";
      window.open(result.address, "_blank");
    } catch (error) {
      said.textContent = `The test run cannot be started: ${error.message}.`;
      said.className = "test-run-wrong";
    } finally {
      button.disabled = false;
    }
  });
});

// Leaving with something typed and not saved asks.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("schedule_form");
  let changed = document.querySelector(".errornote, .form-errors .errorlist") !== null;
  const note = () => {
    changed = true;
  };
  form.addEventListener("input", note);
  form.addEventListener("change", note);
  form.addEventListener("submit", () => {
    changed = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
});
