
// Versions of an image in one or several panes, which always show the same part of it at the same zoom.
// `this.x`, `this.y` is the point of the image in the middle of each pane, `this.zoom` screen pixels per pixel of it.
const MAX_ZOOM = 32;
const STEP = 1.25;

class Viewer {
  constructor(root, set) {
    this.root = root;
    this.set = set;
    this.stage = this.get(".stage");
    this.pointers = new Map();
    this.divider = 50;
    this.listen();
    this.show(0);
    new ResizeObserver(() => this.resize()).observe(this.stage);
  }

  get(selector) {
    return this.root.querySelector(selector);
  }

  listen() {
    const on = (selector, event, action) => this.get(selector).addEventListener(event, action);
    on(".image", "change", () => this.show(Number(this.get(".image").value)));
    on(".previous", "click", () => this.turn(-1));
    on(".next", "click", () => this.turn(1));
    for (const name of [".view", ".left", ".right", ".levels"]) on(name, "change", () => this.build());
    on(".swap", "click", () => this.swap());
    on(".in", "click", () => this.zoomBy(STEP));
    on(".out", "click", () => this.zoomBy(1 / STEP));
    on(".fit", "click", () => this.fit());
    on(".whole", "click", () => this.zoomTo(1));
    on(".divider", "input", () => this.divide(Number(this.get(".divider").value)));
    on(".stage", "keydown", (event) => this.press(event));
    on(".stage", "wheel", (event) => this.roll(event));
    on(".stage", "pointerdown", (event) => this.down(event));
    on(".stage", "pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) on(".stage", name, (event) => this.pointers.delete(event.pointerId));
  }

  // ---- what is shown

  show(number) {
    this.image = this.set.images[number];
    this.get(".image").value = number;
    this.build();
    this.fit();
  }

  turn(step) {
    const count = this.set.images.length;
    this.show((this.set.images.indexOf(this.image) + step + count) % count);
  }

  swap() {
    const [left, right] = [this.get(".left"), this.get(".right")];
    [left.value, right.value] = [right.value, left.value];
    this.build();
  }

  showRegion(number, [left, top, width, height]) {
    this.show(number);
    const [paneWidth, paneHeight] = this.paneSize();
    [this.x, this.y] = [left + width / 2, top + height / 2];
    this.zoom = Math.min(MAX_ZOOM, (0.7 * paneWidth) / width, (0.7 * paneHeight) / height);
    this.place();
    this.root.scrollIntoView({ block: "start" });
    this.stage.focus({ preventScroll: true });
  }

  build() {
    const view = this.get(".view").value;
    const [left, right] = [Number(this.get(".left").value), Number(this.get(".right").value)];
    const levels = this.get(".levels").value;
    const panes = { slider: [[right, left]], difference: [[left, right]], pair: [[left], [right]] }[view]
      ?? this.set.sources.map((_, source) => [source]);
    this.stage.replaceChildren(...panes.map((sources) => this.pane(sources, view)));
    this.stage.className = `stage ${view}`;
    this.stage.style.setProperty("--ratio", `${this.image.width} / ${this.image.height}`);
    if (view === "difference") this.stage.querySelector(".layers").style.filter = `url(#difference-${levels})`;
    this.get(".divider").hidden = view !== "slider";
    this.get(".scale").hidden = this.get(".legend").hidden = view !== "difference";
    this.get(".legend .top").textContent = `${levels} levels or more, mean of R, G and B`;
    for (const name of [".left", ".right"]) this.get(name).disabled = view === "all";
    this.stage.setAttribute("aria-label", this.label(view, left, right));
    this.resize();
  }

  label(view, left, right) {
    const { name, captions } = this.image;
    if (view === "all") return `${name}: all versions`;
    const [first, second] = [left, right].map((source) => `${this.set.sources[source]} (${captions[source]})`);
    return `${name}: ${first} and ${second}`;
  }

  pane(sources, view) {
    const pane = element("div", "pane");
    const layers = element("div", "layers");
    layers.append(...sources.map((source) => this.layer(source)));
    pane.append(layers);
    if (view === "slider") {
      pane.append(element("div", "line"));
      pane.append(this.caption(sources[1], "start"), this.caption(sources[0], "end"));
    } else {
      pane.append(this.caption(sources[0], "start"));
      if (view === "difference") pane.append(this.caption(sources[1], "end"));
    }
    return pane;
  }

  layer(source) {
    const layer = element("div", "layer");
    const image = element("img", source === 0 ? "input" : "");
    image.src = this.image.files[source];
    image.alt = this.set.sources[source];
    image.draggable = false;
    image.style.width = `${this.image.width}px`;
    image.style.height = `${this.image.height}px`;
    layer.append(image);
    return layer;
  }

  caption(source, side) {
    const caption = element("div", `caption ${side}`);
    const score = element("small", "");
    score.textContent = this.image.captions[source];
    caption.append(this.set.sources[source], score);
    return caption;
  }

  // ---- which part of it

  paneSize() {
    const pane = this.stage.querySelector(".pane");
    return [pane.clientWidth, pane.clientHeight];
  }

  fitting() {
    const [width, height] = this.paneSize();
    return Math.min(width / this.image.width, height / this.image.height);
  }

  fit() {
    this.zoom = 0; // `place` makes it what fits
    this.place();
  }

  // After the panes have changed: an image that was seen whole stays so.
  resize() {
    if (this.whole) this.fit();
    else this.place();
  }

  isWhole() {
    return this.zoom <= this.fitting() * 1.001;
  }

  zoomBy(factor) {
    this.zoomTo(this.zoom * factor);
  }

  // Zoom so that the image's point under (px, py), measured from a pane's middle, stays where it is.
  zoomTo(zoom, px = 0, py = 0) {
    const wanted = Math.min(Math.max(zoom, this.fitting()), Math.max(MAX_ZOOM, this.fitting()));
    this.x += px / this.zoom - px / wanted;
    this.y += py / this.zoom - py / wanted;
    this.zoom = wanted;
    this.place();
  }

  place() {
    const [paneWidth, paneHeight] = this.paneSize();
    if (!paneWidth) return; // not laid out
    const { width, height } = this.image;
    this.zoom = Math.max(this.zoom, this.fitting());
    this.x = within(this.x, paneWidth / 2 / this.zoom, width);
    this.y = within(this.y, paneHeight / 2 / this.zoom, height);
    const shift = [paneWidth / 2 - this.x * this.zoom, paneHeight / 2 - this.y * this.zoom];
    for (const image of this.stage.querySelectorAll("img")) {
      image.style.transform = `translate(${shift[0]}px, ${shift[1]}px) scale(${this.zoom})`;
      image.classList.toggle("blocks", this.zoom * devicePixelRatio >= 2);
    }
    this.whole = this.isWhole();
    this.stage.style.touchAction = this.whole ? "pan-y" : "none";
    this.stage.classList.toggle("movable", !this.whole);
    this.get(".zoom").textContent = `${Math.round(this.zoom * 100)} %`;
    this.divide(this.divider);
  }

  divide(percent) {
    this.divider = Math.min(Math.max(percent, 0), 100);
    this.get(".divider").value = this.divider;
    this.stage.style.setProperty("--divider", `${this.divider}%`);
  }

  // ---- hands

  press(event) {
    const whole = this.isWhole();
    const [width, height] = this.paneSize().map((size) => size / 8 / this.zoom);
    const moves = { ArrowLeft: [-width, 0], ArrowRight: [width, 0], ArrowUp: [0, -height], ArrowDown: [0, height] };
    const actions = {
      "+": () => this.zoomBy(STEP), "=": () => this.zoomBy(STEP), "-": () => this.zoomBy(1 / STEP),
      "0": () => this.fit(), "1": () => this.zoomTo(1),
      n: () => this.turn(1), p: () => this.turn(-1), s: () => this.swap(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves && whole) {
      if (!moves[event.key][0] || this.get(".view").value !== "slider") return; // the page scrolls
      this.divide(this.divider + 2 * Math.sign(moves[event.key][0]));
    } else if (event.key in moves) {
      this.x += moves[event.key][0];
      this.y += moves[event.key][1];
      this.place();
    } else if (event.key in actions) {
      actions[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  }

  roll(event) {
    const factor = Math.exp(-event.deltaY * (event.deltaMode ? 30 : 1) * 0.0015);
    if (factor <= 1 && this.isWhole()) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    this.zoomTo(this.zoom * factor, ...this.fromMiddle(event));
  }

  // A point on the screen, measured from the middle of the pane it is in (or began in).
  fromMiddle(event, pane = event.target.closest(".pane") ?? this.stage.querySelector(".pane")) {
    const box = pane.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  }

  down(event) {
    if (event.button) return;
    const slider = this.get(".view").value === "slider";
    this.dividing = slider && (this.isWhole() || event.target.classList.contains("line"));
    this.touched = event.target.closest(".pane") ?? this.stage.querySelector(".pane");
    this.pointers.set(event.pointerId, event);
    this.stage.setPointerCapture(event.pointerId);
    if (this.dividing) this.divideAt(event);
  }

  divideAt(event) {
    const box = this.stage.querySelector(".pane").getBoundingClientRect();
    this.divide(((event.clientX - box.left) / box.width) * 100);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) {
      this.pinch(before, event);
    } else if (this.dividing) {
      this.divideAt(event);
    } else {
      this.x -= (event.clientX - before.clientX) / this.zoom;
      this.y -= (event.clientY - before.clientY) / this.zoom;
      this.place();
    }
  }

  pinch(before, now) {
    const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== now.pointerId);
    const distance = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
    this.x -= (now.clientX - before.clientX) / 2 / this.zoom;
    this.y -= (now.clientY - before.clientY) / 2 / this.zoom;
    const middle = { clientX: (now.clientX + other.clientX) / 2, clientY: (now.clientY + other.clientY) / 2 };
    this.zoomTo((this.zoom * distance(now)) / Math.max(distance(before), 1), ...this.fromMiddle(middle, this.touched));
  }
}

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

// A coordinate of the middle such that the image fills the pane, or is centred where it is smaller.
function within(value, half, size) {
  if (2 * half >= size || Number.isNaN(value)) return size / 2;
  return Math.min(Math.max(value ?? size / 2, half), size - half);
}

(() => {
  const sets = JSON.parse(document.getElementById("report-data").textContent);
  const viewers = sets.map((set, number) => {
    const root = document.getElementById(`viewer-${number}`);
    root.classList.add("ready");
    return set.images.length ? new Viewer(root, set) : null;
  });
  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
  for (const button of document.querySelectorAll("button.show")) {
    const region = button.dataset.region.split(" ").map(Number);
    button.addEventListener("click", () =>
      viewers[button.dataset.set].showRegion(Number(button.dataset.image), region));
  }
  for (const button of document.querySelectorAll("button.open")) {
    button.addEventListener("click", () => {
      const root = button.closest(".set").querySelector(".viewer");
      viewers[Number(root.id.split("-")[1])].show(Number(button.dataset.image));
      root.scrollIntoView({ block: "start" });
    });
  }
})();
