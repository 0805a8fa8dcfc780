// The legend: every class with its colour, its share of the picture, and whether it is shown.

const WRITE_EVERY_MS = 250;

export class Legend {
  constructor(list, picture) {
    this.list = list;
    this.picture = picture;
    this.classes = {};
    this.written = -Infinity;
    this.due = null;
  }

  build(labels) {
    this.picture.relabel(labels);
    this.rows = labels.map((label, id) => this.row(label, id));
    this.list.replaceChildren(...this.rows.map((row) => row.item));
  }

  row(label, id) {
    const make = (tag, parent) => parent.appendChild(document.createElement(tag));
    const item = document.createElement("li");
    const line = make("label", item);
    const box = make("input", line);
    box.type = "checkbox";
    box.checked = !this.picture.hidden.has(id);
    box.addEventListener("change", () => this.toggle(id, box.checked));
    make("i", line).style.background = `rgb(${label.rgb.join(" ")})`;
    make("span", line).textContent = label.name;
    const value = make("b", line);
    const trough = make("div", line);
    trough.className = "bar";
    return { item, box, value, bar: make("div", trough), name: label.name };
  }

  toggle(id, shown) {
    this.picture.hidden[shown ? "delete" : "add"](id);
    this.picture.draw();
  }

  all(shown) {
    this.rows?.forEach((row, id) => { row.box.checked = shown; this.toggle(id, shown); });
  }

  // Nobody reads figures that change with every picture, and each change makes the browser lay the page out anew.
  update(classes) {
    this.classes = classes;
    if (performance.now() - this.written >= WRITE_EVERY_MS) this.write();
    else this.due ??= setTimeout(() => this.write(), WRITE_EVERY_MS);
  }

  write() {
    clearTimeout(this.due);
    this.due = null;
    this.written = performance.now();
    for (const row of this.rows ?? []) {
      const share = this.classes[row.name] ?? 0;
      row.value.textContent = share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
      row.item.classList.toggle("absent", share === 0);
      row.bar.style.transform = `scaleX(${share})`;
    }
  }
}
