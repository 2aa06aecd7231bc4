// What pages can't do by themselves. Without it everything works: pages are then reloaded, and times are in UTC.
"use strict";

const lang = document.documentElement.lang;
const say = (en, zh) => (lang.startsWith("zh") ? zh : en);

/** Times in the viewer's zone, with the full time as the title. */
function localTimes(root) {
  const short = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const minute = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hour12: false });
  const full = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "long" });
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.textContent = ({ clock, minute }[element.dataset.form] || short).format(at);
    element.title = full.format(at);
  }
  // A time that is typed is one of the viewer's zone.
  for (const element of root.querySelectorAll("[data-zone]")) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (element.tagName === "INPUT") element.value = zone;
    else element.textContent = zone;
  }
}

/** What is typed as a local time is sent as one with its zone. */
function zonedTimes(form) {
  for (const input of form.querySelectorAll("input[type=datetime-local][data-utc]")) {
    const target = form.elements[input.dataset.utc];
    if (target) target.value = input.value ? new Date(input.value).toISOString() : "";
  }
}

/** The token of a one-time link stands behind `#`, so that no log has it; it is sent once and leaves the address. */
function oneTimeLink() {
  const form = document.querySelector("form[data-link]");
  const token = location.hash.slice(1);
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.requestSubmit();
}

/** Puts new content into a live part; what was opened stays open, and the focus stays where it was. */
function replace(part, html) {
  const open = new Set([...part.querySelectorAll("details[open][id]")].map((element) => element.id));
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  // Whoever types or decides in it is not disturbed.
  if (document.activeElement && part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  part.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus();
  prepare(part);
}

/** Keeps a part of the page fresh: on events of a job, or every few seconds. */
function live(part) {
  let fetching = false;
  let again = false;
  let last = new Date();
  const note = document.querySelector("[data-connection]");
  const told = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const lost = () => {
    if (!note) return;
    note.hidden = false;
    note.textContent = say(`Reconnecting, last update ${told.format(last)}`, `正在重新连接，最近更新于 ${told.format(last)}`);
  };
  const refresh = async () => {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
      // Whoever was signed out meanwhile is asked to sign in.
      if (answer.redirected || answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      replace(part, await answer.text());
      last = new Date();
      if (note) note.hidden = true;
      // A part that ends says so.
      if (part.querySelector("[data-over]")) stop();
    } catch {
      lost();
    } finally {
      fetching = false;
      if (again) { again = false; setTimeout(refresh, 500); }
    }
  };
  const every = Number(part.dataset.every || 3) * 1000;
  const timer = setInterval(() => { if (!document.hidden) refresh(); }, every);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  let source = null;
  if (part.dataset.events) {
    source = new EventSource(part.dataset.events);
    source.addEventListener("job", refresh);
    source.addEventListener("step", refresh);
    source.onerror = lost;
    source.onopen = () => { if (note) note.hidden = true; };
  }
  function stop() {
    clearInterval(timer);
    source?.close();
    // What stands around the part changes at the end as well: its heading, and what can be done.
    if (part.dataset.end === "reload") location.reload();
  }
  if (part.querySelector("[data-over]")) { clearInterval(timer); source?.close(); }
}

/** Lists that are filtered, and boxes that are checked together. */
function lists(root) {
  for (const input of root.querySelectorAll("input[data-filter]")) {
    const rows = () => document.querySelectorAll(`${input.dataset.filter} [data-name]`);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of rows()) row.hidden = wanted !== "" && !row.dataset.name.toLowerCase().includes(wanted);
    });
  }
  for (const list of root.querySelectorAll("[data-choices]")) {
    const boxes = () => [...list.querySelectorAll("input[type=checkbox][name]")];
    const all = list.querySelector("[data-all]");
    const told = list.querySelector("[data-chosen]");
    const count = () => {
      const chosen = boxes().filter((box) => box.checked);
      const rows = chosen.reduce((sum, box) => sum + Number(box.dataset.rows || 0), 0);
      if (told) {
        const limit = Number(told.dataset.limit || 0);
        const numbers = new Intl.NumberFormat(lang);
        told.textContent = say(
          `${numbers.format(chosen.length)} chosen, about ${numbers.format(rows)} rows`,
          `已选 ${numbers.format(chosen.length)} 个，约 ${numbers.format(rows)} 行`,
        ) + (limit ? say(` (at most ${limit})`, `（最多 ${limit} 个）`) : "");
        told.classList.toggle("over", limit > 0 && chosen.length > limit);
      }
      if (all) {
        const shown = boxes().filter((box) => !box.closest("[hidden]"));
        all.checked = shown.length > 0 && shown.every((box) => box.checked);
        all.indeterminate = !all.checked && shown.some((box) => box.checked);
      }
    };
    all?.addEventListener("change", () => {
      for (const box of boxes()) if (!box.closest("[hidden]")) box.checked = all.checked;
      count();
    });
    list.addEventListener("change", count);
    count();
  }
}

/** What was shown once can be copied. */
function copies(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
      button.textContent = say("Copied", "已复制");
    });
  }
}

/** Parts of forms that belong to one choice. */
function choices(root) {
  for (const part of root.querySelectorAll("[data-when]")) {
    const [name, value] = part.dataset.when.split("=");
    const form = part.closest("form");
    const update = () => {
      const chosen = form.querySelector(`[name="${name}"]:checked, select[name="${name}"]`);
      part.hidden = chosen?.value !== value;
    };
    form.addEventListener("change", update);
    update();
  }
}

/** A form is sent once, and says that it is on its way. */
function forms(root) {
  const every = root.matches?.("form") ? [root] : root.querySelectorAll("form");
  for (const form of every) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) { event.preventDefault(); return; }
      zonedTimes(form);
      form.dataset.sent = "yes";
      event.submitter?.setAttribute("aria-busy", "true");
    });
  }
}

function prepare(root) {
  localTimes(root);
  lists(root);
  copies(root);
  choices(root);
  forms(root);
}

// A page that comes back from the browser's memory can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
  }
});

// Menus close on Escape, and when something else is chosen.
const menus = "details.switch[open], details.menu[open], details.ask[open]";
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll(menus)) {
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  }
});
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(menus)) if (!menu.contains(event.target)) menu.removeAttribute("open");
});

prepare(document);
oneTimeLink();
for (const part of document.querySelectorAll("[data-live]")) live(part);
