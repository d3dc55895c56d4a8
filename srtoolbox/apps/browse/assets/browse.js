// LQ enlarged in two ways, zoom, and a slider over the same crops degraded more and more.
const kernelSelect = document.getElementById("kernel");
const ladders = JSON.parse(document.getElementById("ladders").textContent);

for (const image of document.querySelectorAll(".row img")) {
  image.style.setProperty("--width", image.dataset.width);
  image.style.setProperty("--height", image.dataset.height);
}

// The four weights of Keys' cubic (a = -0.5) for a place `t` behind the second of four pixels, as MATLAB's imresize has it.
function cubicWeights(t) {
  const near = (x) => 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
  const far = (x) => -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2;
  return [far(1 + t), near(t), near(1 - t), far(2 - t)];
}

// For each of `length` new pixels: the four of `old` that it is made of, mirrored at the edge, and their weights.
function taps(old, length) {
  return Array.from({ length }, (_, place) => {
    const centre = ((place + 0.5) * old) / length - 0.5;
    const first = Math.floor(centre);
    const pixels = [-1, 0, 1, 2].map((step) => mirrored(first + step, old));
    return { pixels, weights: cubicWeights(centre - first) };
  });
}

function mirrored(place, length) {
  const turn = ((place % (2 * length)) + 2 * length) % (2 * length);
  return turn < length ? turn : 2 * length - 1 - turn;
}

// Enlarge RGBA levels: columns first, then rows, rounded once.
function enlarge({ data, width, height }, newWidth, newHeight) {
  const columns = taps(width, newWidth);
  const rows = taps(height, newHeight);
  const wide = new Float32Array(height * newWidth * 4);
  for (let y = 0; y < height; y++) {
    columns.forEach(({ pixels, weights }, x) => {
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) sum += weights[k] * data[(y * width + pixels[k]) * 4 + c];
        wide[(y * newWidth + x) * 4 + c] = sum;
      }
    });
  }
  const result = new ImageData(newWidth, newHeight);
  rows.forEach(({ pixels, weights }, y) => {
    for (let place = 0; place < newWidth * 4; place++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += weights[k] * wide[pixels[k] * newWidth * 4 + place];
      result.data[y * newWidth * 4 + place] = sum; // clamped and rounded by the array
    }
  });
  return result;
}

// Show an LQ image as its pixels, or enlarged on a canvas beside it.
async function show(image) {
  const isBicubic = kernelSelect.value === "bicubic";
  let canvas = image.nextElementSibling;
  if (isBicubic) {
    await image.decode();
    if (canvas.tagName !== "CANVAS") {
      canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", image.alt);
      canvas.style.cssText = image.style.cssText;
      image.after(canvas);
    }
    if (canvas.dataset.source !== image.src) {
      canvas.width = image.dataset.width;
      canvas.height = image.dataset.height;
      const source = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
      source.drawImage(image, 0, 0);
      const pixels = source.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
      canvas.getContext("2d").putImageData(enlarge(pixels, canvas.width, canvas.height), 0, 0);
      canvas.dataset.source = image.src;
    }
  }
  if (canvas?.tagName === "CANVAS") canvas.hidden = kernelSelect.value !== "bicubic";
  image.hidden = kernelSelect.value === "bicubic";
}

async function showAll() {
  for (const image of document.querySelectorAll(".row img.lq")) await show(image);
}

function setSeverity(level) {
  ladders.forEach((levels, number) => {
    const root = document.getElementById(`ladder-${number}`);
    const { source, psnr, steps } = levels[level];
    const image = root.querySelector(".degraded");
    image.src = source;
    root.querySelector(".psnr").textContent = psnr;
    root.querySelector(".steps").replaceChildren(...steps.map(([name, values]) => {
      const item = document.createElement("li");
      const title = document.createElement("b");
      title.textContent = name;
      item.append(title, ` ${values}`);
      return item;
    }));
    show(image);
  });
  const share = Math.round((100 * level) / (ladders[0].length - 1));
  document.getElementById("severity-value").textContent =
    share === 0 ? "the mildest draw" : share === 100 ? "the most severe draw" : `more severe than ${share} % of the draws`;
}

kernelSelect.addEventListener("change", showAll);
document.getElementById("zoom").addEventListener("change", (event) =>
  document.body.style.setProperty("--zoom", event.target.value));
const slider = document.getElementById("severity-slider");
if (slider) {
  slider.addEventListener("input", () => setSeverity(Number(slider.value)));
  setSeverity(Number(slider.value));
}
showAll(); // a browser may have kept what was chosen before the page was loaded anew
