
// The page for upscaling: what the server knows is asked for again and again (`refresh`), and shown.
(() => {
  const get = (id) => document.getElementById(id);
  const UNITS = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
  const MOST_COMPARED = 1e8; // pixels of a result: browsers do not show much more
  const CHECKS = ["keep_colour", "ensemble", "provenance"];
  const CHOICES = ["weights", "other", "config", "dtype", "ext", "transparency"];
  const NUMBERS = ["outscale", "scale", "quality"];
  let state = { files: [], weights: [], configs: [], jobs: [], limits: null };
  let viewer = null;
  let timer = 0;
  let listed = "";
  let starting = false;
  const moments = new Map(); // which frame is compared, by the key of a video's job
  const told = new Map(); // what has been said of each job to screen readers

  // ---- the server

  async function ask(address, options = {}) {
    let response;
    try {
      response = await fetch(address, { credentials: "same-origin", ...options });
    } catch {
      throw new Error("The server does not answer: has `srtoolbox ui` ended?");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.error ?? "The server has refused this; reload the page.");
    return answer;
  }

  async function attempt(action) {
    try {
      return await action();
    } catch (error) {
      complain(error.message);
      return null;
    }
  }

  function complain(text) {
    const line = get("fault").querySelector("span");
    const old = get("fault").hidden ? "" : line.textContent;
    line.textContent = !old || old.includes(text) ? old || text : `${old} ${text}`;
    get("fault").hidden = false;
  }

  async function refresh() {
    clearTimeout(timer);
    const answer = await attempt(() => ask("state"));
    if (answer) {
      state = answer;
      show();
    }
    const works = state.jobs.some((job) => job.state === "waiting" || job.state === "running");
    clearTimeout(timer);
    timer = setTimeout(refresh, works ? 300 : 4000);
  }

  // ---- files

  async function send(files) {
    for (const file of files) {
      get("sending").textContent = `Sending ${file.name}`;
      const address = `files?name=${encodeURIComponent(file.name)}`;
      const answer = await attempt(async () => {
        const most = state.limits?.bytes ?? Infinity;
        if (file.size > most) throw new Error(`${file.name}: more than the ${bytes(most)} that this page takes.`);
        return ask(address, { method: "POST", body: file });
      });
      if (answer?.kind === "weights") {
        await refresh();
        get("weights").value = answer.key;
        await describe();
      }
    }
    get("sending").textContent = "";
    get("choose").value = "";
    await refresh();
  }

  function bytes(count) {
    const [size, unit] = UNITS.find(([each]) => count >= each) ?? [1, "bytes"];
    return `${Math.round(count / size)} ${unit}`;
  }

  // ---- networks

  async function describe() {
    for (const [id, line, role] of [["weights", "described", ""], ["other", "described-other", "Blended with: "]]) {
      const key = get(id).value;
      get(line).textContent = key ? "Reading ..." : "";
      const open = new URLSearchParams({ scale: get("scale").value, config: get("config").value });
      const answer = key && (await attempt(() => ask(`weights/${key}?${open}`)));
      if (get(id).value !== key) continue;
      get(line).textContent = answer ? `${role}${answer.text}` : "";
      if (answer && answer.text.includes("`Scale of weights`")) get("more").open = true;
    }
    get("blend").hidden = !get("other").value;
  }

  function settings() {
    const tile = get("tile").value;
    const number = (id) => (get(id).value ? Number(get(id).value) : null);
    return {
      ...Object.fromEntries(CHOICES.map((id) => [id, get(id).value])),
      ...Object.fromEntries(NUMBERS.map((id) => [id, number(id)])),
      ...Object.fromEntries(CHECKS.map((id) => [id, get(id).checked])),
      alpha: Number(get("alpha").value),
      tile: tile === "auto" ? tile : Number(tile),
      wrap: get("wrap").value || null,
      trial: !get("untried").checked,
    };
  }

  async function start(files) {
    if (starting) return;
    starting = true;
    get("fault").hidden = true;
    await attempt(() => ask("jobs", { method: "POST", body: JSON.stringify({ files, ...settings() }) }));
    starting = false;
    await refresh();
  }

  // ---- what is shown

  function show() {
    const { limits } = state;
    get("limits").textContent = `At most ${limits.files} files, ${bytes(limits.bytes)} and ` +
      `${(limits.pixels / 1e6).toLocaleString("en")} million pixels each.`;
    for (const id of ["weights", "other"]) fill(get(id), state.weights);
    fill(get("config"), state.configs);
    get("of-config").hidden = state.configs.length === 0;
    get("empty").hidden = state.files.length > 0;
    const list = get("files");
    for (const old of [...list.children]) if (!state.files.some((file) => file.key === old.dataset.key)) old.remove();
    for (const file of state.files) showFile(list, file);
    const done = state.jobs.filter((job) => job.state === "done");
    showAll(done);
    compare(done.filter(isCompared));
    for (const job of state.jobs) tell(job);
  }

  function fill(select, weights) {
    const chosen = select.value;
    const options = [select.options[0], ...weights.map(({ key, name }) => new Option(name, key))];
    if (options.length === select.options.length && options.every((each, n) => each.value === select.options[n].value)) return;
    select.replaceChildren(...options);
    select.value = options.some((each) => each.value === chosen) ? chosen : "";
  }

  function showFile(list, file) {
    let item = [...list.children].find((each) => each.dataset.key === file.key);
    if (!item) {
      item = element("li", "");
      item.dataset.key = file.key;
      const head = element("div", "head");
      const name = document.createElement("bdi");
      name.textContent = file.name;
      const size = element("span", "note");
      size.textContent = file.kind === "weights" ? `weights, ${bytes(file.bytes)}` : `${file.width} × ${file.height}`;
      head.append(name, size, button("Upscale again", `Upscale ${file.name} again`, () => start([file.key]), "again"),
        button("Remove", `Remove ${file.name}`, () => remove(`files/${file.key}`, item)));
      item.append(head);
      list.append(item);
    }
    const jobs = state.jobs.filter((job) => job.file === file.key);
    item.querySelector(".again").hidden = jobs.length === 0;
    for (const line of item.querySelectorAll(".job")) if (!jobs.some((job) => job.key === line.dataset.key)) line.remove();
    for (const job of jobs) showJob(item, job);
  }

  // Remove what is shown by `item`; the keyboard goes on with what follows it.
  async function remove(address, item) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    await attempt(() => ask(address, { method: "DELETE" }));
    await refresh();
    (next?.isConnected ? next.querySelector("button:last-of-type") : get("choose")).focus();
  }

  function button(text, label, action, className = "") {
    const made = element("button", className);
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", action);
    return made;
  }

  function showJob(item, job) {
    let line = [...item.querySelectorAll(".job")].find((each) => each.dataset.key === job.key);
    const now = JSON.stringify(job);
    if (line?.dataset.now === now) return;
    const focused = line?.contains(document.activeElement) ? document.activeElement.textContent : null;
    if (!line) {
      line = element("div", "job");
      line.dataset.key = job.key;
      item.append(line);
    }
    line.dataset.now = now;
    line.dataset.state = job.state;
    line.replaceChildren(...parts(job));
    if (focused) [...line.querySelectorAll("button, a")].find((each) => each.textContent === focused)?.focus();
  }

  function parts(job) {
    const words = { waiting: "waits", running: "runs", done: "done", failed: "failed", cancelled: "cancelled" };
    const what = element("span", job.state);
    what.textContent = `${words[job.state]}${job.state === "done" ? ` in ${seconds(job.seconds)}` : ""}`;
    const all = [what];
    if (job.state === "running") {
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = job.share;
      bar.setAttribute("aria-label", `Progress of ${job.name}`);
      const left = element("span", "note");
      left.textContent = `${Math.round(100 * job.share)} %${job.left === null ? "" : `, ${seconds(job.left)} left`}`;
      all.push(bar, left);
    }
    if (job.state === "running" || job.state === "waiting") {
      all.push(button("Cancel", `Cancel ${job.name}`, async () => {
        await attempt(() => ask(`jobs/${job.key}`, { method: "DELETE" }));
        await refresh();
      }));
    }
    if (job.state === "done") {
      if (isCompared(job)) all.push(button("Compare", `Compare ${job.name} before and after`, () => showPair(job.key)));
      const link = document.createElement("a");
      link.href = `jobs/${job.key}/result`;
      link.textContent = "Download";
      link.setAttribute("aria-label", `Download the result of ${job.name}`);
      link.setAttribute("download", "");
      all.push(link);
    }
    if (["done", "failed", "cancelled"].includes(job.state)) {
      const [text, label] = job.state === "done" ? ["Remove result", `Remove this result of ${job.name}`]
        : ["Dismiss", `Dismiss this attempt at ${job.name}`];
      all.push(button(text, label, (event) => remove(`jobs/${job.key}`, event.target.closest(".job"))));
    }
    const network = element("bdi", "network");
    network.textContent = job.label;
    all.push(network);
    if (job.message) {
      const message = element("span", "message");
      message.textContent = job.message;
      all.push(message);
    }
    return all;
  }

  function seconds(count) {
    return count >= 90 ? `${Math.round(count / 60)} min` : `${count < 10 ? count.toFixed(1) : Math.round(count)} s`;
  }

  function showAll(done) {
    get("all").hidden = done.length < 2;
    get("all").textContent = `Download all ${done.length} as a zip`;
  }

  // Say to screen readers when a job has ended, and what is noted of it later.
  function tell(job) {
    const now = `${job.name}: ${job.state}. ${job.message}`;
    if (told.has(job.key) && told.get(job.key) !== now && job.state !== "running") get("news").textContent = now;
    told.set(job.key, now);
  }

  // ---- before and after

  class Pairs extends Viewer {
    show(number) {
      super.show(number);
      const { frames, key } = this.image;
      get("moment").hidden = !frames;
      get("at").max = frames - 1;
      get("at").value = momentOf(key, frames);
      tellFrame();
    }
  }

  function isCompared(job) {
    return job.size[0] * job.size[1] <= MOST_COMPARED;
  }

  function momentOf(key, frames) {
    return moments.get(key) ?? Math.floor(frames / 2);
  }

  function filesOf({ file, key, frames }) {
    const moment = frames ? `?frame=${momentOf(key, frames)}` : "";
    return [`files/${file}/image${moment}`, `jobs/${key}/image${moment}`];
  }

  function tellFrame() {
    get("frame").textContent = `${Number(get("at").value) + 1} of ${Number(get("at").max) + 1}`;
  }

  function compare(done) {
    const names = done.map((job) => job.key).join();
    if (names === listed) return;
    listed = names;
    get("compare").hidden = done.length === 0;
    if (!done.length) return;
    const images = done.map((job) => ({
      name: job.name, key: job.key, file: job.file, frames: job.frames, width: job.size[0], height: job.size[1],
      files: filesOf(job),
      captions: [`${job.before[0]} × ${job.before[1]}`, `${job.size[0]} × ${job.size[1]}, ${job.label}`],
    }));
    const root = get("viewer-0");
    const select = root.querySelector(".image");
    const shown = viewer?.image.key;
    select.replaceChildren(...images.map((image, number) => new Option(`${image.name} (${image.captions[1]})`, number)));
    if (viewer) {
      viewer.set.images = images;
      const number = images.findIndex((image) => image.key === shown);
      if (number < 0) viewer.show(0);
      else [viewer.image, select.value] = [images[number], number];
    } else {
      viewer = new Pairs(root, { sources: ["Before", "After"], images });
    }
  }

  function showPair(key) {
    viewer.show(viewer.set.images.findIndex((image) => image.key === key));
    get("compare").scrollIntoView({ block: "start" });
    viewer.stage.focus({ preventScroll: true });
  }

  // ---- hands

  const drop = document.documentElement;
  for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => {
    event.preventDefault();
    get("drop").classList.add("over");
  });
  drop.addEventListener("dragleave", () => get("drop").classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    get("drop").classList.remove("over");
    send([...event.dataTransfer.files]);
  });
  get("choose").addEventListener("change", () => send([...get("choose").files]));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) send([...event.clipboardData.files]);
  });
  get("at").addEventListener("input", tellFrame);
  get("at").addEventListener("change", () => {
    moments.set(viewer.image.key, Number(get("at").value));
    viewer.image.files = filesOf(viewer.image);
    viewer.build();
  });
  get("ext").addEventListener("change", () => {
    get("of-quality").hidden = !["jpg", "webp"].includes(get("ext").value);
    get("quality").placeholder = get("ext").value === "jpg" ? "95" : "lossless";
  });
  get("dismiss").addEventListener("click", () => { get("fault").hidden = true; });
  for (const id of ["weights", "other", "scale", "config"]) get(id).addEventListener("change", describe);
  get("alpha").addEventListener("input", () => {
    get("share").textContent = `${Math.round(100 * get("alpha").value)} %`;
  });
  get("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    const used = new Set(state.jobs.map((job) => job.file));
    const toDo = state.files.filter((file) => file.kind !== "weights");
    const fresh = toDo.filter((file) => !used.has(file.key)).map((file) => file.key);
    if (fresh.length) start(fresh);
    else complain(toDo.length ? "All files have a result or wait for one; `Upscale again` makes another." :
      "Drop an image or a video first.");
  });
  get("viewer-0").classList.add("ready");
  refresh();
})();
