// All sources side by side: the overlay of each, its state, and the way to its own page.

import { reopenIfOther } from "./again.js";
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
  const [picture, title, state, reason] = ["canvas", "b", "span", "small"].map((tag) => document.createElement(tag));
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `Overlay of ${name}`);
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
async function play(link, canvas) {
  const shown = canvas.getContext("bitmaprenderer");
  while (link.isConnected) {
    let pause = PICTURE_EVERY_MS;
    if (!document.hidden) {
      try {
        const picture = await next(`${link.href}overlay.jpg`);
        [canvas.width, canvas.height] = [picture.width, picture.height];
        shown.transferFromImageBitmap(picture);
        delete link.dataset.old;
      } catch {
        link.dataset.old = "";
        pause = RETRY_MS;
      }
    }
    await after(pause);
  }
}

// Not an <img>: browsers keep each that was loaded, until hundreds of megabytes are full of them.
async function next(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(SILENT_MS) });
  if (!answer.ok) throw new Error(`no picture: ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

function after(ms) { return new Promise((done) => setTimeout(done, ms)); }

function tell(element, state, word = WORDS[state]) {
  element.dataset.state = state;
  if (element.textContent !== word) element.textContent = word;
}

async function look() {
  try {
    const { state, order, sources } = await (await fetch("sources.json", { signal: AbortSignal.timeout(SILENT_MS) })).json();
    const replays = Object.values(sources).some((one) => one.replay);
    tell(badge, state, state === "ok" ? (replays ? "ALL OK" : "ALL LIVE") : WORDS[state]);
    for (const name of order) {
      const one = sources[name];
      if (!tiles.has(name)) tile(name);
      tell(tiles.get(name).state, one.state, one.state === "ok" && one.replay ? "REPLAY" : WORDS[one.state]);
      tiles.get(name).reason.textContent = one.reason;
    }
    forget(sources);
  } catch {
    tell(badge, "reconnecting");
    for (const { state, reason } of tiles.values()) {
      tell(state, "reconnecting");
      reason.textContent = "";
    }
    if (tiles.size) await reopenIfOther("sources.json", (told) => "sources" in told);
  }
}

// A node that was started again may have other sources.
function forget(sources) {
  for (const [name, { link }] of tiles) {
    if (!(name in sources)) {
      link.remove();
      tiles.delete(name);
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
