// The picture: camera and class colours blended here, so that what a viewer chooses costs the server nothing.

const NARROW_PX = 640;

export class Picture {
  constructor(canvas, tip) {
    this.canvas = canvas;
    this.tip = tip;
    this.context = canvas.getContext("2d", { alpha: false });  // nothing shines through: one blending less on the screen
    this.colours = document.createElement("canvas");
    this.labels = [];
    this.hidden = new Set();
    this.view = "overlay";
    this.alpha = 0.5;
    this.boxes = true;
    this.shot = null;
    this.pointer = null;
    this.due = null;
    this.density = 1;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    // a finger leaves with every tap: what it named stays until the next one
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { this.pointer = null; this.draw(); } });
    const resized = new ResizeObserver(() => { this.fit(); this.draw(); });
    resized.observe(canvas.parentElement);
    resized.observe(canvas);
  }

  // Another run may have other classes: what is hidden stays so by its name, and the last picture is of the former ones.
  relabel(labels) {
    const hidden = new Set([...this.hidden].map((id) => this.labels[id].name));
    this.hidden = new Set([...labels.keys()].filter((id) => hidden.has(labels[id].name)));
    if (JSON.stringify(labels) !== JSON.stringify(this.labels)) {
      this.forget();
      this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    }
    this.labels = labels;
  }

  forget() {
    this.shot?.image.close();
    this.shot = null;
  }

  // Resolves when the picture is drawn, or a newer one in its place.
  show(shot) {
    this.forget();
    this.shot = shot;
    return this.draw();
  }

  // Once for each time that the screen is renewed, whatever has changed since: what nobody could see is not drawn.
  draw() {
    this.due ??= new Promise((done) => requestAnimationFrame(done)).then(() => { this.due = null; this.drawNow(); });
    return this.due;
  }

  // How many pixels of the canvas one of the page is: names are as large on a phone as on a desktop.
  fit() {
    const { width, height, clientWidth, clientHeight } = this.canvas;
    this.density = Math.max(width / Math.max(1, clientWidth), height / Math.max(1, clientHeight));
  }

  drawNow() {
    if (!this.shot) return;
    const { width, height } = this.shot.image;
    const both = this.view === "side-by-side";
    const stacked = both && this.canvas.parentElement.clientWidth < NARROW_PX;
    const [wide, high] = [both && !stacked ? 2 * width : width, stacked ? 2 * height : height];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.fit();
    }
    const origin = [wide - width, high - height];
    if (both) this.context.drawImage(this.shot.image, 0, 0);
    this.drawResult(...origin, width, height);
    this.origin = origin;
    this.hover();
  }

  drawResult(x, y, width, height) {
    const c = this.context;
    const mask = this.view === "mask";
    c.fillStyle = "#000";
    if (mask) c.fillRect(x, y, width, height);
    else c.drawImage(this.shot.image, x, y);
    if (mask || this.alpha > 0) {
      this.colour(mask ? 1 : this.alpha);
      c.imageSmoothingEnabled = false;
      c.drawImage(this.colours, x, y, width, height);
    }
    if (this.boxes) this.drawThings(x, y);
  }

  // Class ids into colours: as opaque as chosen, full colour along the borders of classes and things, hidden ones not at all.
  colour(alpha) {
    const { ids, instances, rows, columns } = this.smooth();
    if (this.tinted?.width !== columns || this.tinted.height !== rows) {
      this.colours.width = columns;
      this.colours.height = rows;
      this.tinted = new ImageData(columns, rows);
    }
    const plain = this.table(Math.round(255 * alpha));
    const border = this.table(255);
    const pixels = new Uint32Array(this.tinted.data.buffer);
    for (let i = 0, y = 0; y < rows; y++) {
      const down = y + 1 < rows ? columns : 0;
      for (let x = 0; x < columns; x++, i++) {
        const id = ids[i];
        const thing = instances[i];  // undefined where there is no such map: then it equals its neighbours
        const right = x + 1 < columns ? i + 1 : i;
        const edge = ids[right] !== id || ids[i + down] !== id || instances[right] !== thing || instances[i + down] !== thing;
        pixels[i] = (edge ? border : plain)[id];
      }
    }
    this.colours.getContext("2d").putImageData(this.tinted, 0, 0);
  }

  // The maps at the picture's resolution, once for each picture: outlines without stairs.
  smooth() {
    if (this.smoothed?.shot !== this.shot) {
      let [rows, columns] = this.shot.map;
      let { ids, instances } = this.shot;
      while (2 * columns <= this.shot.image.width) {
        ids = doubled(ids, rows, columns);
        if (instances.length) instances = doubled(instances, rows, columns);
        [rows, columns] = [2 * rows, 2 * columns];
      }
      this.smoothed = { shot: this.shot, ids, instances, rows, columns };
    }
    return this.smoothed;
  }

  table(alpha) {
    const bytes = new Uint8ClampedArray(4 * 256);
    this.labels.forEach(({ rgb }, id) => {
      if (!this.hidden.has(id)) bytes.set([...rgb, alpha], 4 * id);
    });
    return new Uint32Array(bytes.buffer);
  }

  things() {
    const hidden = new Set([...this.hidden].map((id) => this.labels[id].name));
    return this.shot.things.filter((thing) => !hidden.has(thing.class));
  }

  // Boxes, then names: large things first, the others where that leaves every name readable.
  drawThings(x, y) {
    const things = this.things().sort((a, b) => b.area - a.area);
    for (const thing of things) this.drawBox(thing, x, y, 1);
    const used = [];
    for (const thing of things) this.drawName(thing, x, y, used);
  }

  place(thing, x, y) {
    const scale = this.shot.image.width / this.shot.size[1];
    const [left, top, width, height] = thing.box.map((v) => v * scale);
    return [x + left, y + top, width, height];
  }

  rgb(thing) { return this.labels.find((label) => label.name === thing.class).rgb; }

  drawBox(thing, x, y, weight) {
    this.context.lineWidth = weight * Math.max(1.25 * this.density, this.shot.image.width / 500);
    this.context.strokeStyle = `rgb(${this.rgb(thing).map((v) => 128 + v / 2).join(" ")})`;
    this.context.strokeRect(...this.place(thing, x, y));
  }

  // Above the box, inside where there is no above.
  drawName(thing, x, y, used) {
    const c = this.context;
    const [left, top, , height] = this.place(thing, x, y);
    const size = Math.max(12 * this.density, this.shot.image.width / 80);
    const line = 1.25 * size;
    c.font = `${size}px sans-serif`;
    const name = thing.id ? `${thing.class} ${thing.id}` : thing.class;
    const wide = c.measureText(name).width + size / 2;
    const tag = [Math.max(x, Math.min(left, x + this.shot.image.width - wide)), top - y >= line ? top - line : top, wide, line];
    if (height < size || used.some((other) => overlap(tag, other, size / 3))) return;
    used.push(tag);
    const rgb = this.rgb(thing);
    c.fillStyle = `rgb(${rgb.join(" ")})`;
    c.fillRect(...tag);
    c.fillStyle = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 130 ? "#141414" : "#fff";
    c.fillText(name, tag[0] + size / 4, tag[1] + size);
  }

  point(event) {
    this.pointer = [event.clientX, event.clientY];
    this.draw();
  }

  // The name of the smallest box under the pointer.
  hover() {
    this.tip.hidden = true;
    if (!this.pointer || !this.boxes) return;
    const place = this.onPicture(this.pointer);
    const inside = ({ box: [x, y, w, h] }) => place[0] >= x && place[0] < x + w && place[1] >= y && place[1] < y + h;
    const under = this.things().filter(inside).sort((a, b) => a.area - b.area)[0];
    if (!under) return;
    this.drawBox(under, ...this.origin, 2.5);
    const stage = this.canvas.parentElement.getBoundingClientRect();
    const seen = under.id ? ` ${under.id} · seen for ${under.age_s.toFixed(1)} s` : "";
    this.tip.textContent = `${under.class}${seen} · ${(100 * under.area).toFixed(1)} % of the image`;
    this.tip.hidden = false;
    const room = stage.width - this.tip.offsetWidth - 4;
    this.tip.style.left = `${Math.max(0, Math.min(room, this.pointer[0] - stage.left + 14))}px`;
    this.tip.style.top = `${Math.max(0, this.pointer[1] - stage.top - 34)}px`;
  }

  // From the window's pixels to the source frame's; the canvas is letterboxed where it is higher than allowed.
  onPicture([clientX, clientY]) {
    const rect = this.canvas.getBoundingClientRect();
    const fit = Math.min(rect.width / this.canvas.width, rect.height / this.canvas.height);
    const x = (clientX - rect.left - (rect.width - fit * this.canvas.width) / 2) / fit;
    const y = (clientY - rect.top - (rect.height - fit * this.canvas.height) / 2) / fit;
    const { width, height } = this.shot.image;
    const scale = this.shot.size[1] / width;
    const inFirst = this.view === "side-by-side" && x < this.origin[0] + (this.origin[0] ? 0 : width) && y < this.origin[1] + (this.origin[1] ? 0 : height);
    const [ox, oy] = inFirst ? [0, 0] : this.origin;
    return x - ox > width || y - oy > height ? [-1, -1] : [(x - ox) * scale, (y - oy) * scale];
  }

  // A PNG of what is shown, marked where it is not live.
  snapshot(mark, colour) {
    this.drawNow();
    const copy = document.createElement("canvas");
    copy.width = this.canvas.width;
    copy.height = this.canvas.height;
    const c = copy.getContext("2d");
    if (mark) c.filter = "grayscale(1) brightness(.5)";
    c.drawImage(this.canvas, 0, 0);
    if (mark) {
      c.filter = "none";
      c.fillStyle = colour;
      c.fillRect(0, copy.height * 0.42, copy.width, copy.height * 0.16);
      c.fillStyle = "#fff";
      c.textAlign = "center";
      c.font = `bold ${Math.round(copy.height * 0.1)}px sans-serif`;
      c.fillText(mark, copy.width / 2, copy.height * 0.535);
    }
    return new Promise((done) => copy.toBlob(done, "image/png"));
  }
}

// Whether two rectangles overlap, or are closer beside each other than the gap.
function overlap([ax, ay, aw, ah], [bx, by, bw, bh], gap) {
  return ax < bx + bw + gap && bx < ax + aw + gap && ay < by + bh && by < ay + ah;
}

// Twice as many rows and columns by Scale2x (Mazzoleni 2001), which rounds stairs off and invents no class.
function doubled(map, rows, columns) {
  const out = new Uint8Array(4 * rows * columns);
  for (let y = 0, i = 0; y < rows; y++) {
    const above = y ? columns : 0, below = y + 1 < rows ? columns : 0;
    for (let x = 0; x < columns; x++, i++) {
      const id = map[i], up = map[i - above], down = map[i + below];
      const left = x ? map[i - 1] : id, right = x + 1 < columns ? map[i + 1] : id;
      const corner = up !== down && left !== right;
      const o = 4 * y * columns + 2 * x, p = o + 2 * columns;
      out[o] = corner && up === left ? left : id;
      out[o + 1] = corner && up === right ? right : id;
      out[p] = corner && down === left ? left : id;
      out[p + 1] = corner && down === right ? right : id;
    }
  }
  return out;
}
