// Lists and mappings as rows to add and remove. What is sent is the text area of the row-less form, kept in step.
function showParameterRows(root) {
  const input = document.getElementById("id_name");

  for (const area of root.querySelectorAll("textarea[data-rows]")) {
    const pairs = area.dataset.rows === "mapping";
    const options = area.dataset.options ? JSON.parse(area.dataset.options) : null;
    const label = document.querySelector(`label[for="${area.id}"]`);
    const name = label.firstChild.textContent.trim();
    const holder = document.createElement("div");
    holder.className = "rows";
    holder.setAttribute("role", "group");
    holder.setAttribute("aria-label", name);
    const rows = document.createElement("div");
    rows.className = "rows-all";

    const value = (part) => {
      const field = document.createElement(options && part !== "name" ? "select" : "input");
      field.className = `${input.className} font-mono`;
      field.dataset.part = part;
      if (field.tagName === "SELECT") {
        field.add(new Option("– choose a secret –", ""));
        for (const each of options) field.add(new Option(each, each));
      } else {
        field.type = "text";
        field.spellcheck = false;
        field.autocomplete = "off";
        if (pairs) field.placeholder = part === "name" ? "NAME" : "value";
      }
      if (area.getAttribute("aria-describedby")) field.setAttribute("aria-describedby", area.getAttribute("aria-describedby"));
      if (area.getAttribute("aria-invalid")) field.setAttribute("aria-invalid", "true");
      return field;
    };

    const keep = () => {
      area.value = [...rows.children]
        .map((row) => [...row.querySelectorAll("[data-part]")].map((field) => field.value.trim()))
        .filter((parts) => parts.some(Boolean))
        .map((parts) => parts.join("="))
        .join("\n");
    };

    const number = () => {
      [...rows.children].forEach((row, index) => {
        for (const field of row.querySelectorAll("[data-part]")) {
          const which = pairs ? (field.dataset.part === "name" ? ", name" : ", value") : "";
          field.setAttribute("aria-label", `${name}${which} ${index + 1}`);
          field.id = index === 0 && field === row.querySelector("[data-part]") ? `${area.id}_first` : "";
        }
        row.querySelector("button").setAttribute("aria-label", `Remove ${name} ${index + 1}`);
      });
      label.htmlFor = rows.children.length ? `${area.id}_first` : `${area.id}_add`;
    };

    const add = (text = "") => {
      const row = document.createElement("div");
      row.className = "rows-row";
      const cut = text.indexOf("=");
      const parts = pairs ? [["name", cut < 0 ? text : text.slice(0, cut)], ["value", cut < 0 ? "" : text.slice(cut + 1)]] : [["value", text]];
      for (const [part, given] of parts) {
        const field = value(part);
        if (field.tagName === "SELECT" && given && !options.includes(given)) field.add(new Option(`${given} (there is no such secret)`, given));
        field.value = given;
        row.append(field);
      }
      const remove = document.createElement("button");
      remove.type = "button";
      remove.className = "form-small-button";
      remove.textContent = "×";
      remove.addEventListener("click", () => {
        const beside = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        number();
        keep();
        area.dispatchEvent(new Event("input", { bubbles: true }));
        (beside?.querySelector("[data-part]") ?? another).focus();
      });
      row.append(remove);
      rows.append(row);
      number();
      return row;
    };

    const another = document.createElement("button");
    another.type = "button";
    another.id = `${area.id}_add`;
    another.className = "form-small-button";
    another.textContent = "Add";
    another.setAttribute("aria-label", `Add to ${name}`);
    another.addEventListener("click", () => add().querySelector("[data-part]").focus());
    holder.addEventListener("input", keep);
    holder.addEventListener("change", keep);
    holder.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.tagName === "BUTTON") return;
      event.preventDefault(); // a new row, instead of saving half a list
      add().querySelector("[data-part]").focus();
    });

    for (const line of area.value.split("\n").filter((each) => each.trim())) add(line);
    if (!rows.children.length && area.required) add();
    holder.append(rows, another);
    area.hidden = true;
    area.after(holder);
    number();
  }
}

document.addEventListener("DOMContentLoaded", () => showParameterRows(document));
