// The output of a run: new lines are fetched from where the page stands and appended; nothing is drawn twice.
document.addEventListener("DOMContentLoaded", () => {
  const POLL = 1000;
  const AGAIN_AFTER_ERROR = 3000;
  const log = document.getElementById("run-log");
  const output = document.getElementById("run-output");
  const nothing = document.getElementById("log-nothing");
  const state = document.getElementById("log-state");
  const pause = document.getElementById("log-pause");
  const follow = document.getElementById("log-follow");
  const found = document.getElementById("log-found");
  let { cursor } = log.dataset;
  let active = Boolean(log.dataset.active);
  let more = Boolean(log.dataset.more);
  let paused = false;
  let fetching = false;
  let timer = 0;

  const isShown = (line) => !output.classList.contains(line.classList.contains("run-stderr") ? "hide-stderr" : "hide-stdout");
  const search = new LogSearch(() => [...output.querySelectorAll(".log-line")].filter(isShown));
  const toEnd = () => {
    output.scrollTop = output.scrollHeight;
  };
  const isAtEnd = () => output.scrollHeight - output.scrollTop - output.clientHeight < 8;

  const append = (answer) => {
    if (!answer.html) return;
    const open = answer.replaces ? output.querySelector("[data-open]") : null;
    const drawn = document.createElement("template");
    drawn.innerHTML = answer.html; // the server has escaped what the job printed
    const chunk = drawn.content.firstElementChild;
    const lines = [...chunk.children];
    if (open && open.outerHTML === lines[0].outerHTML) {
      lines.shift().remove();
    } else if (open) {
      open.replaceWith(lines[0]);
    }
    if (chunk.children.length) output.insertBefore(chunk, nothing);
    if (lines.length) nothing.hidden = true;
    if (search.query && open) search.look(search.query);
    else search.add(lines.filter(isShown));
    found.textContent = search.words;
    if (follow.checked) toEnd();
  };

  const tell = (problem) => {
    const live = paused ? "Paused: what is printed now is shown when you go on." : "";
    state.textContent = problem || live;
    pause.hidden = !active;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  };

  const look = async () => {
    clearTimeout(timer);
    if (fetching || paused || !(active || more) || document.visibilityState !== "visible") return;
    fetching = true;
    let wait = POLL;
    try {
      const address = new URL(log.dataset.address, window.location.origin);
      address.searchParams.set("from", cursor);
      const response = await fetch(address, { credentials: "same-origin", headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) throw new Error(response.redirected ? "signed out" : response.status);
      const answer = await response.json();
      ({ cursor, more, active } = answer);
      if (!output.querySelector(".log-line")) nothing.textContent = answer.nothing;
      append(answer);
      tell("");
      if (more) wait = 0;
    } catch (error) {
      tell(`The server does not answer (${error.message}); it is asked again. What you see may be old.`);
      wait = AGAIN_AFTER_ERROR;
    }
    fetching = false;
    if (active || more) timer = setTimeout(look, wait);
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    tell("");
    look();
  });
  follow.addEventListener("change", () => follow.checked && toEnd());
  // Whoever scrolls up wants to read there; whoever scrolls to the end, to follow again.
  output.addEventListener("scroll", () => {
    follow.checked = isAtEnd() && (follow.checked || active);
  });
  document.addEventListener("visibilitychange", look);

  const choice = (id, apply) => {
    const box = document.getElementById(id);
    const change = () => {
      const keep = follow.checked;
      apply(box.checked);
      if (keep) toEnd();
      if (search.query) search.look(search.query);
      found.textContent = search.words;
    };
    box.addEventListener("change", change);
  };
  choice("log-wrap", (on) => output.classList.toggle("no-wrap", !on));
  choice("log-stdout", (on) => output.classList.toggle("hide-stdout", !on));
  choice("log-stderr", (on) => output.classList.toggle("hide-stderr", !on));

  const field = document.getElementById("log-search");
  let typing = 0;
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      search.look(field.value);
      found.textContent = search.words;
    }, 150);
  });
  const step = (by) => {
    search.go(by);
    found.textContent = search.words;
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  });
  document.getElementById("log-previous").addEventListener("click", () => step(-1));
  document.getElementById("log-next").addEventListener("click", () => step(1));

  if (follow.checked) toEnd();
  look();
});
