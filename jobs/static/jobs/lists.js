// Lists that stay up to date while they are looked at: rows are exchanged where they have changed, clocks count.
// What a button does is the server's; without this script each of them works as an ordinary form.
document.addEventListener("DOMContentLoaded", () => {
  const EVERY = 5000;
  const trouble = document.getElementById("list-trouble");
  const body = () => document.getElementById("list-body");
  let busy = false;

  function tell(text) {
    trouble.textContent = text;
    trouble.hidden = !text;
  }

  function inWords(seconds) {
    const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [Math.floor(seconds) % 60, "s"]];
    const first = parts.findIndex(([number]) => number > 0);
    return first < 0 ? "0 s" : parts.slice(first, first + 2).map(([number, unit]) => `${number} ${unit}`).join(" ");
  }

  function count() {
    const now = Date.now() / 1000;
    for (const each of document.querySelectorAll("[data-until]")) {
      const left = Number(each.dataset.until) - now;
      each.textContent = left >= 1 ? `in ${inWords(left)}` : "now";
    }
    for (const each of document.querySelectorAll("[data-since]")) {
      each.textContent = inWords(Math.max(0, now - Number(each.dataset.since)));
    }
  }

  // A row that is exchanged keeps its check mark, and the focus within it.
  function exchange(old, row) {
    const box = old.querySelector("[name=_selected_action]");
    const place = document.activeElement && old.contains(document.activeElement) ? [...old.querySelectorAll("a, button, input")].indexOf(document.activeElement) : -1;
    const fresh = document.importNode(row, true);
    old.replaceWith(fresh);
    const now = fresh.querySelector("[name=_selected_action]");
    if (box && now) now.checked = box.checked;
    if (place >= 0) fresh.querySelectorAll("a, button, input")[place]?.focus({ preventScroll: true });
  }

  async function answered(address, options) {
    const answer = await fetch(address, { credentials: "same-origin", ...options });
    if (answer.redirected && /\/login\//.test(answer.url)) throw new Error("you are signed out: sign in again");
    if (answer.status === 403) throw new Error("you may not do that");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return answer;
  }

  async function refresh() {
    const shown = body();
    const rows = [...shown.querySelectorAll("tr[data-id]")];
    if (document.hidden || busy || !rows.length) return;
    const address = new URL(shown.dataset.live, location.origin);
    for (const row of rows) address.searchParams.append("id", row.dataset.id);
    try {
      const answer = await answered(address);
      const page = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
      if (busy || shown !== body()) return;
      for (const row of page.querySelectorAll("tr[data-id]")) {
        const old = document.getElementById(row.id);
        if (old && old.dataset.version !== row.dataset.version) exchange(old, row);
      }
      count();
      tell("");
    } catch (error) {
      tell(`This list cannot be brought up to date: ${error.message}. It is tried again.`);
    }
  }

  function choose() {
    const bar = document.querySelector(".list-bulk");
    if (!bar) return;
    const boxes = [...document.querySelectorAll("[name=_selected_action]")];
    const chosen = boxes.filter((box) => box.checked).length;
    bar.hidden = !chosen;
    bar.querySelector(".list-bulk-count").textContent = `${chosen} chosen`;
    const all = document.querySelector(".list-check-all");
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches(".list-check-all")) {
      for (const box of document.querySelectorAll("[name=_selected_action]")) box.checked = event.target.checked;
    }
    if (event.target.matches(".list-check-all, [name=_selected_action]")) choose();
    if (event.target.matches(".list-filters select")) event.target.form.requestSubmit();
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-stay]")) return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    const sent = new FormData(form, event.submitter);
    const name = event.submitter?.getAttribute("aria-label");
    form.setAttribute("aria-busy", "true");
    try {
      const answer = await answered(location.href, { method: "POST", body: sent });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (new URL(answer.url).pathname !== location.pathname || !page.getElementById("list-body")) {
        location.assign(answer.url);
        return;
      }
      for (const id of ["list-messages", "list-body"]) {
        document.getElementById(id).replaceWith(document.importNode(page.getElementById(id), true));
      }
      if (name) [...document.querySelectorAll("#list-body button")].find((each) => each.getAttribute("aria-label") === name)?.focus({ preventScroll: true });
      count();
      tell("");
    } catch (error) {
      tell(`That was not done: ${error.message}.`);
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
    }
  });

  document.addEventListener("visibilitychange", refresh);
  count();
  choose();
  setInterval(() => { if (!document.hidden) count(); }, 1000);
  setInterval(refresh, EVERY);
});
