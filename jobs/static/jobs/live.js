// What counts on a page by itself: [data-since] shows how long ago a time was, [data-until] how long it is until one.
// And a message where the server does not answer what a page polls for.
(() => {
  const length = (milliseconds) => {
    const total = Math.max(0, Math.floor(milliseconds / 1000));
    const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
    if (total >= 86400) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${seconds} s` : `${seconds} s`;
  };

  const tick = () => {
    if (document.visibilityState !== "visible") return;
    for (const element of document.querySelectorAll("[data-since]")) {
      element.textContent = length(Date.now() - Date.parse(element.dataset.since));
    }
    for (const element of document.querySelectorAll("[data-until]")) {
      const left = Date.parse(element.dataset.until) - Date.now();
      element.textContent = left > 0 ? `in ${length(left)}` : "now";
    }
  };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
  document.addEventListener("htmx:afterSwap", tick);
  document.addEventListener("DOMContentLoaded", tick);

  // What a part that is drawn anew had open, and where the keyboard was, stays so.
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    kept = {
      open: [...part.querySelectorAll("details[open][id]")].map((each) => each.id),
      href: focused?.getAttribute("href"),
    };
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const id of kept?.open ?? []) document.getElementById(id)?.setAttribute("open", "");
    if (kept?.href && document.activeElement === document.body) {
      document.querySelector(`main a[href="${CSS.escape(kept.href)}"], #overview a[href="${CSS.escape(kept.href)}"]`)?.focus({ preventScroll: true });
    }
    kept = null;
  });

  const message = (text) => {
    let shown = document.getElementById("server-silent");
    if (!shown) {
      shown = document.createElement("p");
      shown.id = "server-silent";
      shown.setAttribute("role", "alert");
      document.body.append(shown);
    }
    shown.textContent = text;
    shown.hidden = !text;
  };
  const silent = "The server does not answer. What you see may be old; it is asked again every few seconds.";
  document.addEventListener("htmx:sendError", () => message(silent));
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    message(status === 403 ? "You are not signed in any more: reload the page." : `${silent} (${status})`);
  });
  document.addEventListener("htmx:afterRequest", (event) => event.detail.successful && message(""));
})();
