// All sources side by side: the overlay of each, its state, and the way to its own page.

import { WORDS } from "./states.js";

const PICTURE_EVERY_MS = 100;
const LOOK_EVERY_MS = 1000;
const RETRY_MS = 1000;
// A network that is gone ends no request: what has not come by then does not come.
const SILENT_MS = 4000;

const badge = document.getElementById("badge");
const tiles = new Map();

function tile(name) {
  const link = document.createElement("a");
  link.href = `live/${encodeURIComponent(name)}/`;
  link.className = "tile";
  const [picture, title, state, reason] = ["img", "b", "span", "small"].map((tag) => document.createElement(tag));
  picture.alt = `Overlay of ${name}`;
  title.textContent = name;
  state.className = "badge";
  const caption = document.createElement("span");
  caption.className = "caption";
  caption.append(title, state, reason);
  link.append(picture, caption);
  tiles.set(name, { link, state, reason });
  document.getElementById("sources").append(link);
  play(link, picture);
}

// Picture by picture: browsers open six connections to a server, and endless streams would keep all of them.
async function play(link, shown) {
  for (let count = Date.now(); ; count++) {
    let pause = PICTURE_EVERY_MS;
    if (!document.hidden) {
      const next = new Image();
      try {
        next.alt = shown.alt;
        next.src = `${link.href}overlay.jpg?${count}`;
        await inTime(next.decode());
        shown.replaceWith(next);
        shown = next;
        delete link.dataset.old;
      } catch {
        next.removeAttribute("src");  // else a request that never ends keeps one of the connections
        link.dataset.old = "";
        pause = RETRY_MS;
      }
    }
    await after(pause);
  }
}

function after(ms) { return new Promise((done) => setTimeout(done, ms)); }

// What a promise gives, if it does so before others would take the page for dead.
function inTime(promise) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(fail, SILENT_MS); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function tell(element, state, word = WORDS[state]) {
  element.dataset.state = state;
  if (element.textContent !== word) element.textContent = word;
}

async function look() {
  try {
    const { state, sources } = await (await fetch("sources.json", { signal: AbortSignal.timeout(SILENT_MS) })).json();
    const replays = Object.values(sources).some((one) => one.replay);
    tell(badge, state, state === "ok" ? (replays ? "ALL OK" : "ALL LIVE") : WORDS[state]);
    for (const [name, one] of Object.entries(sources)) {
      if (!tiles.has(name)) tile(name);
      tell(tiles.get(name).state, one.state, one.state === "ok" && one.replay ? "REPLAY" : WORDS[one.state]);
      tiles.get(name).reason.textContent = one.reason;
    }
  } catch {
    tell(badge, "reconnecting");
    for (const { state, reason } of tiles.values()) {
      tell(state, "reconnecting");
      reason.textContent = "";
    }
  }
}

async function watch() {
  for (;;) {
    await look();
    await after(LOOK_EVERY_MS);
  }
}

watch();
