// What pages can't do by themselves. Without it everything works: pages are then reloaded, and times are in UTC.
"use strict";

const lang = document.documentElement.lang;
const say = (en, zh) => (lang.startsWith("zh") ? zh : en);

/** Times in the viewer's zone, with the full time as the title. */
function localTimes(root) {
  const short = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });
  const second = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const minute = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hour12: false });
  const full = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "long" });
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.textContent = ({ clock, minute, second }[element.dataset.form] || short).format(at);
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
  // Where somebody is signed in, a link alone does not put another account in their place.
  if (form.dataset.link !== "ask") form.requestSubmit();
}

/** Whether somebody changed a control: another one than it came with, which a reload would lose. */
function isChanged(control) {
  if (control.type === "hidden" || "zone" in control.dataset) return false;
  if (control.matches("input[type=checkbox], input[type=radio]")) return control.checked !== control.defaultChecked;
  if (!control.matches("select")) return control.value !== control.defaultValue;
  const options = [...control.options];
  const first = control.multiple || options.some((option) => option.defaultSelected) ? null : options[0];
  return options.some((option) => option.selected !== (option.defaultSelected || option === first));
}

/** Whether somebody is in the middle of something: a form that was changed, or a question that is open. */
function isBusy(root) {
  const controls = [...root.querySelectorAll("input, select, textarea")];
  return root.querySelector("details.ask[open]") !== null || controls.some(isChanged);
}

/** Puts new content into a live part; what was opened stays open, and the focus stays where it was. */
function replace(part, html) {
  const open = new Set([...part.querySelectorAll("details[open][id]")].map((element) => element.id));
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  // Whoever types or decides in it is not disturbed.
  if (document.activeElement && part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  if ([...part.querySelectorAll("input, select, textarea")].some(isChanged)) return;
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
    begun = performance.now();
    try {
      const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
      // Whoever was signed out meanwhile is asked to sign in.
      if (answer.redirected || answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const html = await answer.text();
      replace(part, html);
      last = new Date();
      if (note) note.hidden = true;
      // A part that ends says so, also to whoever is not disturbed by new content.
      const end = new DOMParser().parseFromString(html, "text/html").querySelector("[data-over]");
      if (end) stop(end.textContent);
    } catch {
      lost();
    } finally {
      fetching = false;
      if (again) { again = false; soon(); }
    }
  };
  // Steps may come many a second: the part is asked for once a second.
  let begun = -1000;
  let planned = 0;
  const soon = () => {
    if (over || planned) return;
    planned = setTimeout(() => { planned = 0; if (!over) refresh(); }, Math.max(0, begun + 1000 - performance.now()));
  };
  const every = Number(part.dataset.every || 3) * 1000;
  let over = false;
  let source = null;
  const timer = setInterval(() => { if (!document.hidden) refresh(); }, every);
  // Browsers open few connections to one address: a page that nobody sees keeps none.
  const listen = () => {
    if (!part.dataset.events || source || over || document.hidden) return;
    source = new EventSource(part.dataset.events);
    source.addEventListener("job", soon);
    source.addEventListener("step", soon);
    source.onerror = lost;
    source.onopen = () => { if (note) note.hidden = true; };
  };
  const close = () => { source?.close(); source = null; };
  const seen = () => {
    if (over) return;
    if (document.hidden) { close(); return; }
    listen();
    refresh();
  };
  document.addEventListener("visibilitychange", seen);
  function quiet() {
    over = true;
    clearInterval(timer);
    close();
    document.removeEventListener("visibilitychange", seen);
  }
  function stop(told) {
    quiet();
    // What stands around the part changes at the end as well: its heading, and what can be done.
    if (part.dataset.end !== "reload") return;
    if (note && isBusy(document)) ended(note, told);
    else location.reload();
  }
  if (part.querySelector("[data-over]")) quiet();
  listen();
  // What the page itself does not hold yet.
  if ("now" in part.dataset) refresh();
}

/** Says that a part is at its end, where a reload would take from somebody what they are about to send. */
function ended(note, told) {
  note.hidden = false;
  note.classList.add("ended");
  note.textContent = `${told} ${say("Your changes on this page are kept until you reload it. ", "重新加载之前，您在此页面上的更改会保留。")}`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn";
  button.textContent = say("Reload", "重新加载");
  button.addEventListener("click", () => location.reload());
  note.append(button);
}

/** What a part says where nothing came. */
function missing(part, again) {
  const note = document.createElement("p");
  note.className = "note bad";
  note.textContent = say("This could not be loaded. ", "无法加载。");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn";
  button.textContent = say("Try again", "重试");
  button.addEventListener("click", again);
  note.append(button);
  part.replaceChildren(note);
}

/** The text of a part; a whole page stands for a failure that is not the part's own. */
async function partOf(answer) {
  if (answer.redirected || answer.status === 401) { location.reload(); return ""; }
  const text = await answer.text();
  if (text.trimStart().toLowerCase().startsWith("<!doctype")) throw new Error(String(answer.status));
  return text;
}

/** Parts that others are asked for, such as a cluster: they come after their page. */
async function later(part) {
  part.setAttribute("aria-busy", "true");
  try {
    part.innerHTML = await partOf(await fetch(part.dataset.load, { headers: { accept: "text/html" }, cache: "no-store" }));
    prepare(part);
  } catch {
    missing(part, () => later(part));
  }
  part.removeAttribute("aria-busy");
}

/** Sends a form for the sake of one part of the page, so that nothing typed is lost. */
async function into(form, button) {
  if (button.getAttribute("aria-busy")) return;
  const part = document.querySelector(button.dataset.into);
  const fields = new URLSearchParams(new FormData(form));
  fields.set("part", "1");
  button.setAttribute("aria-busy", "true");
  part.textContent = say("Asking …", "正在查询……");
  try {
    part.innerHTML = await partOf(await fetch(button.formAction, { method: "POST", headers: { accept: "text/html" }, body: fields }));
    prepare(part);
  } catch {
    missing(part, () => into(form, button));
  }
  button.removeAttribute("aria-busy");
}

/** Lists that are filtered, and boxes that are checked together. */
function lists(root) {
  for (const input of root.querySelectorAll("input[data-filter]")) {
    const rows = () => document.querySelectorAll(`${input.dataset.filter} [data-name]`);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of rows()) row.hidden = wanted !== "" && !row.dataset.name.toLowerCase().includes(wanted);
      for (const group of document.querySelectorAll(`${input.dataset.filter} fieldset:has([data-name])`)) {
        group.hidden = !group.querySelector("[data-name]:not([hidden])");
      }
      for (const note of document.querySelectorAll(`${input.dataset.filter} [data-none]`)) {
        note.hidden = [...rows()].some((row) => !row.hidden);
      }
      // What is found can be shared.
      if ("address" in input.dataset) history.replaceState(null, "", wanted ? `?${new URLSearchParams([[input.name, input.value.trim()]])}` : location.pathname);
    });
    // A search sends no form.
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  }
  for (const list of root.querySelectorAll("[data-choices]")) {
    const boxes = () => [...list.querySelectorAll("input[type=checkbox][name]")];
    const all = list.querySelector("[data-all]");
    const told = list.querySelector("[data-chosen]");
    const groups = [...list.querySelectorAll("[data-group]")];
    const shownOf = (group) => boxes().filter((box) => group.closest("fieldset").contains(box) && !box.closest("[hidden]"));
    const count = () => {
      const chosen = boxes().filter((box) => box.checked);
      const rows = chosen.reduce((sum, box) => sum + Number(box.dataset.rows || 0), 0);
      if (told) {
        const limit = Number(told.dataset.limit || 0);
        const numbers = new Intl.NumberFormat(lang);
        const most = numbers.format(limit);
        told.textContent = say(
          `${numbers.format(chosen.length)} selected${limit ? ` (at most ${most})` : ""}, about ${numbers.format(rows)} rows`,
          `已选 ${numbers.format(chosen.length)} 个${limit ? `（最多 ${most} 个）` : ""}，约 ${numbers.format(rows)} 行`,
        );
        told.classList.toggle("over", limit > 0 && chosen.length > limit);
      }
      if (all) {
        const shown = boxes().filter((box) => !box.closest("[hidden]"));
        all.checked = shown.length > 0 && shown.every((box) => box.checked);
        all.indeterminate = !all.checked && shown.some((box) => box.checked);
      }
      for (const group of groups) {
        const shown = shownOf(group);
        group.checked = shown.length > 0 && shown.every((box) => box.checked);
        group.indeterminate = !group.checked && shown.some((box) => box.checked);
      }
    };
    for (const group of groups) {
      group.addEventListener("change", () => { for (const box of shownOf(group)) box.checked = group.checked; });
    }
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
      const announced = document.querySelector("[data-copied]");
      if (announced) announced.textContent = button.textContent;
    });
  }
}

/** What was shown once is not made once more by a reload: that shows the list. */
function once() {
  const made = document.querySelector("[data-once]");
  if (made) history.replaceState(null, "", made.dataset.once);
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
      if (event.submitter?.dataset.into) { event.preventDefault(); into(form, event.submitter); return; }
      if (form.dataset.sent) { event.preventDefault(); return; }
      zonedTimes(form);
      form.dataset.sent = "yes";
      event.submitter?.setAttribute("aria-busy", "true");
    });
  }
}

function prepare(root) {
  for (const element of root.querySelectorAll("[data-scripted]")) element.hidden = false;
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
once();
oneTimeLink();
for (const part of document.querySelectorAll("[data-live]")) live(part);
for (const part of document.querySelectorAll("[data-load]")) later(part);
