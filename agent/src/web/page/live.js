// Follows the reports: at each one the view is fetched anew and put in place. Without this script the page is the same, as of when it was opened.
"use strict";

const field = () => document.getElementById("q");
let typed = null; // what is being typed and not yet part of the address

// Rows that do not have what is typed are hidden at once; the server does the same by the address.
function narrow() {
  const words = (typed ?? field()?.value ?? "").toLowerCase();
  for (const row of document.querySelectorAll("tbody[data-words]")) row.hidden = !row.dataset.words.includes(words);
}

async function renew() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = document.getElementById("main"), fresh = next.getElementById("main");
  if (!main || !fresh) return location.reload();
  // What the reader did stays: where they are, what they typed, what they opened, how far they moved a table.
  const focus = document.activeElement?.id || document.activeElement?.getAttribute?.("href");
  const open = [...main.querySelectorAll("details[open]")].map((one) => one.id);
  const moved = [...main.querySelectorAll(".table")].map((one) => one.scrollLeft);
  const caret = field() && [field().value, field().selectionStart, field().selectionEnd];
  const at = [scrollX, scrollY];
  main.replaceWith(document.adoptNode(fresh));
  document.title = next.title;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  fresh.querySelectorAll(".table").forEach((one, index) => (one.scrollLeft = moved[index] ?? 0));
  if (caret && field()) {
    field().value = caret[0];
    if (focus === "q") field().setSelectionRange(caret[1], caret[2]);
  }
  const element = focus && (document.getElementById(focus) || fresh.querySelector(`a[href="${CSS.escape(focus)}"]`));
  element?.focus({ preventScroll: true });
  scrollTo(...at);
  narrow();
}

document.addEventListener("input", (event) => {
  if (event.target !== field()) return;
  typed = field().value;
  // All rows must be here to be filtered: an address with a filter in it has only some.
  const address = new URL(location.href);
  if (address.searchParams.has("q")) {
    address.searchParams.delete("q");
    history.replaceState(null, "", address);
    renew();
  }
  narrow();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && event.target.tagName !== "INPUT" && field()) {
    event.preventDefault();
    field().focus();
  } else if (event.key === "Escape" && event.target === field()) {
    field().value = typed = "";
    narrow();
  }
});

const reports = new EventSource("/events");
let first = true;
reports.addEventListener("report", () => {
  // The first one is what the page shows already.
  if (first) first = false;
  else if (!document.hidden) renew().catch(() => {});
});
document.addEventListener("visibilitychange", () => !document.hidden && renew().catch(() => {}));
