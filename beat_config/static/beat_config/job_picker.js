// The list of jobs as a combobox: what is typed searches titles, sentences and groups. Without this script it is a list.
document.addEventListener("DOMContentLoaded", () => {
  const select = document.getElementById("id_task");
  const label = document.querySelector('label[for="id_task"]');
  if (!select || !label) return;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const input = make("input", {
    id: "id_task_search", type: "text", role: "combobox", class: document.getElementById("id_name").className,
    "aria-expanded": "false", "aria-controls": "id_task_list", "aria-autocomplete": "list",
    "aria-describedby": "id_task_sentence", autocomplete: "off", spellcheck: "false",
  });
  const list = make("div", { id: "id_task_list", role: "listbox", class: "picker-list", "aria-label": "Jobs" });
  const sentence = make("p", { id: "id_task_sentence", class: "form-help" });
  const status = make("p", { class: "sr-only", role: "status" });
  list.hidden = true;

  const options = [];
  for (const group of select.querySelectorAll("optgroup")) {
    const heading = make("div", { class: "picker-group", role: "presentation" }, group.label);
    const members = make("div", { role: "group", "aria-label": group.label }, heading);
    for (const option of group.querySelectorAll("option")) {
      const title = option.dataset.title ?? option.value;
      const said = option.dataset.sentence ?? "";
      const shown = make(
        "div", { role: "option", id: `id_task_option_${options.length}`, "aria-selected": "false", class: "picker-option" },
        make("b", {}, title), " ", make("span", {}, said),
      );
      const words = `${title} ${said} ${group.label} ${option.value}`.toLowerCase();
      options.push({ value: option.value, title, said, shown, members, words });
      members.append(shown);
    }
    list.append(members);
  }
  const nothing = make("p", { class: "picker-nothing" }, "No job fits. Other words may.");
  nothing.hidden = true;

  const holder = make("div", { class: "picker" }, input, list);
  list.after(nothing);
  select.before(holder);
  select.parentElement.after(sentence, status); // beside them Unfold draws an arrow
  select.classList.add("picker-replaced");
  select.tabIndex = -1;
  select.setAttribute("aria-hidden", "true");
  label.htmlFor = input.id;
  let active = null;

  const chosen = () => options.find((option) => option.value === select.value);
  const visible = () => options.filter((option) => !option.shown.hidden);

  function show() {
    input.value = chosen()?.title ?? select.value;
    sentence.textContent = chosen()?.said ?? "";
    for (const option of options) option.shown.setAttribute("aria-selected", String(option.value === select.value));
  }

  function point(option) {
    active?.shown.classList.remove("picker-active");
    active = option ?? null;
    active?.shown.classList.add("picker-active");
    if (active) {
      input.setAttribute("aria-activedescendant", active.shown.id);
      active.shown.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const option of options) option.shown.hidden = !words.every((word) => option.words.includes(word));
    for (const group of list.children) group.hidden = !group.querySelector(".picker-option:not([hidden])");
    nothing.hidden = visible().length > 0 || list.hidden;
    status.textContent = text ? `${visible().length} jobs` : "";
  }

  function open() {
    if (!list.hidden) return;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    search("");
    point(chosen());
    input.select();
  }

  function close() {
    list.hidden = nothing.hidden = true;
    input.setAttribute("aria-expanded", "false");
    point(null);
    show();
  }

  function choose(option) {
    const changed = option && option.value !== select.value;
    if (changed) select.value = option.value;
    close();
    if (changed) select.dispatchEvent(new Event("change", { bubbles: true }));
  }

  input.addEventListener("click", open);
  input.addEventListener("input", (event) => {
    event.stopPropagation(); // a search changes nothing
    open();
    search(input.value);
    point(visible()[0]);
  });
  input.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
  list.addEventListener("click", (event) => {
    const shown = event.target.closest(".picker-option");
    if (shown) choose(options.find((option) => option.shown === shown));
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) return open();
      const all = visible();
      if (all.length) point(all[(all.indexOf(active) + step + all.length) % all.length]);
    } else if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      if (active) choose(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  select.addEventListener("change", show);
  show();
});
