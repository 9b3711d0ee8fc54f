(() => {
  "use strict";
  const doc = document, every = +doc.body.dataset.every, button = doc.querySelector("#pause");
  const main = () => doc.querySelector("main");
  let etag = "", paused = false, busy = false;

  // Times are written in UTC; here they become the visitor's.
  const here = doc.documentElement.lang, lang = navigator.languages.find((one) => one.startsWith(here)) || here;
  const local = (root) => {
    for (const one of root.querySelectorAll("time[datetime*=T]")) {
      const at = new Date(one.dateTime);
      if (isNaN(at)) continue;
      one.title = one.textContent;
      one.textContent = at.toLocaleString(lang,
        { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
    }
  };

  // Where a node is in the main part, so that its like is found in the next one.
  const place = (node) => {
    const path = [];
    for (; node && node !== main(); node = node.parentNode) path.unshift([...node.parentNode.children].indexOf(node));
    return path;
  };
  const at = (path) => path.reduce((node, index) => node && node.children[index], main());

  const inUse = () => {
    const focus = doc.activeElement;
    return doc.hidden || paused || !doc.getSelection().isCollapsed
      || main().contains(focus) && focus.matches("input,select,textarea");
  };

  const renew = async () => {
    if (busy || inUse()) return;
    busy = true;
    try {
      const answer = await fetch(location.href.split("#")[0],
        { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
      const next = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = next && next.querySelector("main");
      if (!now || inUse()) return;
      etag = answer.headers.get("ETag") || "";
      local(now);
      if (now.innerHTML !== main().innerHTML) {
        const open = [...main().querySelectorAll("details[open]")].map(place);
        const focus = main().contains(doc.activeElement) && place(doc.activeElement);
        main().replaceChildren(...now.childNodes);
        for (const path of open) at(path)?.setAttribute("open", "");
        if (focus) at(focus)?.focus({ preventScroll: true });
      }
      doc.title = next.title;
      const icon = (page) => page.querySelector("link[rel=icon]");
      icon(doc).href = icon(next).getAttribute("href");
    } catch { /* what is shown stays, with its time */ } finally { busy = false; }
  };

  local(doc);
  if (!every) return;
  button.hidden = false;
  button.onclick = () => {
    paused = !paused;
    button.textContent = paused ? button.dataset.on : button.dataset.off;
    renew();
  };
  setInterval(renew, every * 1000);
  doc.addEventListener("visibilitychange", renew);
})();
