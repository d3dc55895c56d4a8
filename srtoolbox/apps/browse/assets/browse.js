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

// For each of `length` new pixels: the four of `old` that it is made of, the last one again beyond the edge, and their weights.
function taps(old, length) {
  return Array.from({ length }, (_, place) => {
    const centre = ((place + 0.5) * old) / length - 0.5;
    const first = Math.floor(centre);
    const pixels = [-1, 0, 1, 2].map((step) => Math.min(Math.max(first + step, 0), old - 1));
    return { pixels, weights: cubicWeights(centre - first) };
  });
}

// Enlarge RGBA levels as imresize does: rows first, then columns, rounded to levels after each.
function enlarge({ data, width, height }, newWidth, newHeight) {
  const tall = new Uint8ClampedArray(newHeight * width * 4);
  taps(height, newHeight).forEach(({ pixels, weights }, y) => {
    for (let place = 0; place < width * 4; place++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += weights[k] * data[pixels[k] * width * 4 + place];
      tall[y * width * 4 + place] = Math.floor(sum + 0.5);
    }
  });
  const result = new ImageData(newWidth, newHeight);
  taps(width, newWidth).forEach(({ pixels, weights }, x) => {
    for (let y = 0; y < newHeight; y++) {
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) sum += weights[k] * tall[(y * width + pixels[k]) * 4 + c];
        result.data[(y * newWidth + x) * 4 + c] = Math.floor(sum + 0.5);
      }
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
