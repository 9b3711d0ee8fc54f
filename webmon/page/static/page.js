(() => {
  "use strict";
  const doc = document, main = () => doc.querySelector("main"), button = doc.querySelector("#pause");
  const seconds = Math.max(2, +doc.body.dataset.every || 15);
  let etag = "", paused = false, busy = false;

  // Times are written in UTC; here they become the visitor's.
  const local = (root) => {
    for (const one of root.querySelectorAll("time[datetime*=T]")) {
      const at = new Date(one.dateTime);
      if (isNaN(at)) continue;
      one.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
      const clock = { hour: "2-digit", minute: "2-digit" };
      one.textContent = at.toLocaleString(doc.documentElement.lang,
        one.dataset.f ? clock : { day: "numeric", month: "short", year: "numeric", ...clock });
    }
  };

  const place = (node) => {
    const path = [];
    for (; node && node !== main(); node = node.parentNode) path.unshift([...node.parentNode.children].indexOf(node));
    return path;
  };
  const at = (path) => path.reduce((node, index) => node && node.children[index], main());

  const busyHere = () => {
    const active = doc.activeElement;
    const chosen = doc.getSelection();
    return (chosen && !chosen.isCollapsed) || (active && main().contains(active) && active.matches("input,select,textarea"))
      || [...main().querySelectorAll("input,textarea,select")].some((field) =>
        field.type !== "hidden" && (field.options ? field.selectedIndex > 0 && !field.options[field.selectedIndex].defaultSelected
          : field.value !== field.defaultValue));
  };

  const renew = async () => {
    if (paused || busy || doc.hidden || busyHere()) return;
    busy = true;
    try {
      const answer = await fetch(location.href.split("#")[0],
        { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", credentials: "same-origin" });
      if (answer.status !== 200 || paused || busyHere()) return;
      etag = answer.headers.get("ETag") || "";
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = next.querySelector("main");
      if (!now) return;
      const open = [...main().querySelectorAll("details[open]")].map(place);
      const focus = main().contains(doc.activeElement) && place(doc.activeElement);
      local(now);
      if (now.innerHTML !== main().innerHTML) main().replaceChildren(...doc.adoptNode(now).childNodes);
      open.forEach((path) => { const found = at(path); if (found) found.open = true; });
      const found = focus && at(focus);
      if (found && found !== doc.activeElement) found.focus({ preventScroll: true });
      doc.title = next.title;
      const icon = doc.querySelector("link[rel=icon]"), wanted = next.querySelector("link[rel=icon]");
      if (icon && wanted && icon.href !== wanted.href) icon.href = wanted.href;
    } catch { /* what is shown stays, with its time */ } finally { busy = false; }
  };

  local(doc);
  if (button) {
    button.hidden = false;
    button.onclick = () => {
      paused = !paused;
      button.textContent = paused ? button.dataset.on : button.dataset.off;
      if (!paused) renew();
    };
  }
  setInterval(renew, seconds * 1000);
  doc.addEventListener("visibilitychange", renew);
})();
