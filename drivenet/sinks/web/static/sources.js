// All sources side by side: the overlay of each, its state, and the way to its own page.

const sources = document.getElementById("sources");
const badge = document.getElementById("badge");
const captions = new Map();

function tile(name) {
  const link = document.createElement("a");
  link.href = `live/${encodeURIComponent(name)}/`;
  link.className = "tile";
  const picture = document.createElement("img");
  picture.src = `${link.href}stream.mjpg`;
  picture.alt = `Overlay of ${name}`;
  const caption = document.createElement("span");
  captions.set(name, caption);
  link.append(picture, caption);
  return link;
}

async function look() {
  try {
    const health = await (await fetch("healthz")).json();
    badge.textContent = health.state.toUpperCase();
    badge.dataset.state = health.state;
    for (const [name, one] of Object.entries(health.sources)) {
      captions.get(name).textContent = one.reason ? `${name}: ${one.state}, ${one.reason}` : `${name}: ${one.state}`;
    }
  } catch {
    badge.textContent = "RECONNECTING";
    badge.dataset.state = "reconnecting";
  }
}

for (const name of await (await fetch("sources.json")).json()) sources.append(tile(name));
setInterval(look, 1000);
look();
