// Puts the parts together: what arrives, what the viewer chooses, and what state it all is in.

import { reopenIfOther } from "./again.js";
import { Charts } from "./charts.js";
import { Legend } from "./legend.js";
import { Picture } from "./picture.js";
import { Live } from "./socket.js";
import { WORDS } from "./states.js";

const $ = (id) => document.getElementById(id);
const words = { ...WORDS };
// Which of several sources; empty where there is one.
const one = decodeURIComponent(/\/live\/([^/]+)\/$/.exec(location.pathname)?.[1] ?? "");
const THEMES = ["auto", "dark", "light"];

const picture = new Picture($("picture"), $("tip"));
const legend = new Legend($("legend"), picture);
const charts = new Charts({ stages: $("stages"), histogram: $("histogram"), key: $("stage-key"), window: $("window"), table: $("percentiles").tBodies[0] });

let state = { name: "connecting", since: performance.now() };
let alphaChosen = false;
let chosenPause = false;

const live = new Live({
  hello(message) {
    legend.build(message.labels);
    charts.build(message);
    $("version").textContent = message.version;
    if (!alphaChosen) setAlpha(100 * message.alpha);
  },
  stats(message) {
    words.ok = message.replay ? "REPLAY" : WORDS.ok;
    setState(message.state.name, message.state.seconds);
    showFigures(message);
    charts.update(message);
  },
  async frame(shot) {
    if (live.paused) { shot.image.close(); return; }
    await picture.show(shot);
    if (!picture.shot) return;  // of classes that a restarted node no longer has
    legend.update(picture.shot.classes);
    document.body.dataset.frame = picture.shot.frame;
  },
  closed() {
    if (state.name === "connecting") return;
    setState("reconnecting", 0);
    reopenIfOther("stats.json", (stats) => "state" in stats);
  },
});

function setState(name, seconds) {
  if (name !== state.name || seconds) state = { name, since: performance.now() - 1000 * seconds };
  const shown = name === "degraded" ? "ok" : name;
  document.body.dataset.state = $("stage").dataset.state = shown;
  showState();
}

function stateText() {
  const counted = ["lost", "stalled", "failed", "suspect"].includes(state.name);
  return words[state.name] + (counted ? ` ${Math.floor((performance.now() - state.since) / 1000)} s` : "");
}

function showState() {
  const text = stateText();
  $("banner").firstElementChild.textContent = text;
  const paused = chosenPause && ["ok", "degraded"].includes(state.name);
  const word = paused ? "PAUSED" : words[state.name];
  $("badge").dataset.state = paused ? "paused" : state.name;
  // the badge is read aloud when it changes: not every second
  if ($("badge").textContent !== word) $("badge").textContent = word;
  const title = [word === "LIVE" ? "" : word, $("source").textContent, "drivenet"].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}

function showFigures(stats) {
  $("source").textContent = [one, stats.source].filter(Boolean).join(" · ");
  const { backend, precision, file } = stats.engine;
  $("engine").textContent = [String(file ?? "").split("/").pop(), backend, precision].filter(Boolean).join(" · ");
  $("reason").textContent = stats.state.reason;
  $("lock").hidden = !stats.lockable;
  for (const [kind, rate] of Object.entries(stats.live.fps)) {
    const element = $(`fps-${kind}`);
    if (element) element.textContent = rate === null ? "–" : `${rate.toFixed(1)} fps`;
  }
  const every = stats.viewers_get_every;
  $("pace").textContent = every > 1 ? `1 image of ${every}: inference comes first` : "";
  const drops = Object.entries(stats.dropped);
  $("dropped").textContent = drops.reduce((sum, [, n]) => sum + n, 0);
  const missed = Object.entries(stats.sinks).filter(([, counts]) => counts.dropped);
  const said = [...drops.map(([reason, n]) => `${reason} ${n}`), ...missed.map(([sink, { dropped }]) => `${sink} missed ${dropped}`)];
  $("drop-reasons").textContent = said.join(", ");
}

function showAge() {
  const now = live.now();
  if (picture.shot && now !== null) {
    const age = Math.max(0, now - picture.shot.captured_ms);
    $("age").textContent = age < 10_000 ? `${age.toFixed(0)} ms` : `${(age / 1000).toFixed(0)} s`;
  }
  showState();
}
setInterval(showAge, 200);

function setAlpha(percent) {
  const value = Math.max(0, Math.min(100, Math.round(percent)));
  $("alpha").value = value;
  $("alpha-value").textContent = `${value} %`;
  picture.alpha = value / 100;
  picture.draw();
}

function setView(view) {
  document.querySelector(`input[name=view][value=${view}]`).checked = true;
  picture.view = view;
  picture.draw();
}

function setPause(paused) {
  chosenPause = paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Resume" : "Pause";
  $("paused").hidden = !paused;
  showState();
  live.pause(paused || document.hidden);
}

async function snapshot() {
  if (!picture.shot) return;
  const link = document.createElement("a");
  const mark = ["ok", "degraded"].includes(state.name) ? "" : stateText();
  link.href = URL.createObjectURL(await picture.snapshot(mark, state.name === "ended" ? "#444" : "#c82828"));
  link.download = `drivenet-${String(picture.shot.frame).padStart(6, "0")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Says for some seconds what came of it.
async function lock() {
  if ($("lock").hidden) return;
  const answer = await fetch("lock", { method: "POST" }).catch(() => ({ ok: false }));
  $("lock").textContent = answer.ok ? "Locked" : "Not locked";
  clearTimeout(lock.timer);
  lock.timer = setTimeout(() => { $("lock").textContent = "Lock"; }, 3000);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("stage").requestFullscreen?.();
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
  remember("drivenet-theme", theme);
  charts.rebuild();
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

// Storage may be forbidden: then the choice lasts as long as the page.
function remember(key, value) {
  try { localStorage.setItem(key, value); } catch (error) { console.info("not remembered:", error.name); }
}

function recall(key) {
  try { return localStorage.getItem(key); } catch (error) { return null; }
}

function setBoxes(shown) {
  $("boxes").checked = picture.boxes = shown;
  picture.draw();
}

$("alpha").addEventListener("input", () => { alphaChosen = true; setAlpha(Number($("alpha").value)); });
$("boxes").addEventListener("change", () => setBoxes($("boxes").checked));
$("views").addEventListener("change", (event) => setView(event.target.value));
$("pause").addEventListener("click", () => setPause(!chosenPause));
$("snapshot").addEventListener("click", snapshot);
$("lock").addEventListener("click", lock);
$("full").addEventListener("click", fullScreen);
$("theme").addEventListener("click", nextTheme);
$("all").addEventListener("click", () => legend.all(true));
$("none").addEventListener("click", () => legend.all(false));
document.addEventListener("visibilitychange", () => live.pause(chosenPause || document.hidden));

const KEYS = {
  1: () => setView("overlay"), 2: () => setView("mask"), 3: () => setView("side-by-side"),
  "+": () => { alphaChosen = true; setAlpha(100 * picture.alpha + 10); }, "-": () => { alphaChosen = true; setAlpha(100 * picture.alpha - 10); },
  b: () => setBoxes(!picture.boxes), a: () => legend.all(true), " ": () => setPause(!chosenPause),
  s: snapshot, l: lock, f: fullScreen, t: nextTheme,
};
document.addEventListener("keydown", (event) => {
  const typed = event.target.closest?.("button, select, a, input[type=checkbox], input[type=radio]");
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && typed) || event.target.tagName === "SELECT") return;
  const act = KEYS[event.key === "=" ? "+" : event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});

// Not read aloud when it changes; for whoever asks what the picture shows.
function describe() {
  const counts = new Map();
  for (const thing of picture.shot?.things ?? []) counts.set(thing.class, (counts.get(thing.class) ?? 0) + 1);
  const found = [...counts].map(([name, n]) => `${n} ${name}`).join(", ");
  $("picture").setAttribute("aria-label", `Live image with class colours${found && `: ${found}`}`);
}
setInterval(describe, 2000);

$("overview").hidden = !one;

const remembered = recall("drivenet-theme");
if (THEMES.includes(remembered)) setTheme(remembered);
