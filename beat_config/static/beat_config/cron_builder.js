// Days and times that are clicked, in step with the cron line: either is changed, the other follows.
document.addEventListener("DOMContentLoaded", () => {
  const builder = document.getElementById("cron-builder");
  const line = document.getElementById("id_cron");
  if (!builder || !line) return;

  const WEEK = [[1, "Mon", "Monday"], [2, "Tue", "Tuesday"], [3, "Wed", "Wednesday"], [4, "Thu", "Thursday"], [5, "Fri", "Friday"], [6, "Sat", "Saturday"], [0, "Sun", "Sunday"]];
  const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
  const part = (name) => builder.querySelector(`[data-cron="${name}"]`);
  const radios = (name) => [...builder.querySelectorAll(`input[name="${name}"]`)];
  const note = part("note");
  let said = null;

  function choice(holder, value, text, full) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = value;
    box.setAttribute("form", "cron-clicked");
    const shown = document.createElement("span");
    shown.textContent = text;
    if (full) box.setAttribute("aria-label", full);
    label.append(box, shown);
    holder.append(label);
  }

  for (const [value, text, full] of WEEK) choice(part("weekdays"), value, text, full);
  for (let day = 1; day <= 31; day++) choice(part("monthdays"), day, String(day), `Day ${day}`);
  choice(part("monthdays"), "L", "Last", "The last day");
  MONTHS.forEach((name, index) => choice(part("months"), index + 1, name.slice(0, 3), name));
  for (const step of CronLine.STEPS) {
    const text = step < 60 ? (step === 1 ? "minute" : `${step} minutes`) : step === 60 ? "hour" : `${step / 60} hours`;
    part("step").add(new Option(text, step));
  }
  for (let hour = 0; hour < 24; hour++) {
    part("from").add(new Option(`${String(hour).padStart(2, "0")}:00`, hour));
    part("to").add(new Option(`${String(hour).padStart(2, "0")}:59`, hour));
  }

  function drawTimes() {
    const focused = [...part("times").querySelectorAll("input")].indexOf(document.activeElement);
    part("times").replaceChildren(
      ...said.times.map((time, index) => {
        const row = document.createElement("span");
        const input = document.createElement("input");
        input.type = "time";
        input.value = time;
        input.required = true;
        input.setAttribute("form", "cron-clicked");
        input.setAttribute("aria-label", `Time ${index + 1}`);
        input.addEventListener("input", (event) => {
          event.stopPropagation();
          if (!/^\d\d:\d\d/.test(input.value)) return;
          said.times[index] = input.value.slice(0, 5);
          write();
        });
        row.append(input);
        if (said.times.length > 1) row.append(button("×", `Remove ${time}`, () => {
          said.times.splice(index, 1);
          drawTimes();
          write();
          part("times").querySelector("button:last-child").focus();
        }));
        return row;
      }),
      button("Another time", "", () => {
        said.times.push("12:00");
        drawTimes();
        write();
        part("times").querySelector("span:last-of-type input").focus();
      }),
    );
    if (focused >= 0) part("times").querySelectorAll("input")[focused]?.focus();
  }

  function button(text, label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "form-small-button";
    made.textContent = text;
    if (label) made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  }

  function draw() {
    builder.toggleAttribute("data-beyond", said === null);
    for (const each of builder.querySelectorAll("fieldset")) each.disabled = said === null;
    part("anew").hidden = said !== null;
    note.textContent = said === null && line.value.trim() ? "This cron line says more than can be clicked here. It counts as it is." : "";
    if (said === null) return;
    for (const radio of radios("cron-days")) radio.checked = radio.value === said.days;
    for (const radio of radios("cron-how")) radio.checked = radio.value === said.how;
    for (const name of ["weekdays", "monthdays", "months"]) {
      for (const box of part(name).querySelectorAll("input")) {
        box.checked = said[name].map(String).includes(box.value);
      }
    }
    fold();
    if (said.months.length) builder.querySelector(".cron-months").open = true;
    if (said.how === "times") drawTimes();
    else for (const name of ["step", "from", "to"]) part(name).value = said[name];
  }

  function fold() {
    part("weekdays").hidden = said.days !== "week";
    part("monthdays").hidden = said.days !== "month";
    part("times").hidden = said.how !== "times";
    part("again").hidden = said.how !== "again";
    part("months-said").textContent = said.months.length ? `: ${said.months.map((each) => MONTHS[each - 1]).join(", ")}` : "";
  }

  function write() {
    const nothing = { week: said.weekdays, month: said.monthdays }[said.days]?.length === 0;
    const { line: text, besides } = CronLine.write(said);
    note.textContent = nothing ? "Click at least one day." : besides.length
      ? `One schedule runs at all its minutes in all its hours, so also at ${besides.join(", ")}. For just these times, make a second schedule.`
      : "";
    if (nothing) return;
    line.value = text;
    line.dispatchEvent(new Event("input", { bubbles: true }));
  }

  builder.addEventListener("change", (event) => {
    event.stopPropagation();
    const { target } = event;
    if (target.type === "time") return;
    if (target.name === "cron-days") {
      said.days = target.value;
      if (said.days === "week" && !said.weekdays.length) said.weekdays = [1, 2, 3, 4, 5];
      if (said.days === "month" && !said.monthdays.length) said.monthdays = [1];
      draw();
    } else if (target.name === "cron-how") {
      said.how = target.value;
      if (said.how === "times") said.times ??= ["09:00"];
      else for (const [name, value] of Object.entries({ step: 15, from: 9, to: 17 })) said[name] ??= value;
      draw();
    } else if (target.type === "checkbox") {
      const name = target.closest("[data-cron]").dataset.cron;
      said[name] = [...part(name).querySelectorAll("input:checked")].map((box) => (box.value === "L" ? "L" : Number(box.value)));
      fold();
    } else {
      said[target.dataset.cron] = Number(target.value);
      if (said.from > said.to) said.to = said.from = Number(target.value);
      if (said.from === said.to) said.to < 23 ? said.to++ : said.from--;
      for (const name of ["from", "to"]) part(name).value = said[name];
    }
    write();
  });
  builder.addEventListener("input", (event) => event.stopPropagation());
  part("anew").addEventListener("click", () => {
    line.value = "0 9 * * *";
    said = CronLine.read(line.value);
    draw();
    write();
    radios("cron-days")[0].focus();
  });
  line.addEventListener("input", (event) => {
    if (!event.isTrusted) return; // written by a click
    said = CronLine.read(line.value);
    draw();
  });
  said = CronLine.read(line.value);
  builder.hidden = false;
  draw();
});
