// Sends one picture at a time to the service and draws the answer. Knows nothing about the labels: they come from it.

const find = (id) => document.getElementById(id);
const [drop, file, status, result, figure, picture, boxes, faces] = [
  "drop", "file", "status", "result", "figure", "picture", "boxes", "faces",
].map(find);
const either = new Intl.ListFormat("en", { type: "disjunction" });
const emoji = fetch("emotions")
  .then((answer) => answer.json())
  .then(({ details }) => new Map(details.map((emotion) => [emotion.name, emotion.emoji])))
  .catch(() => new Map());

let current = new AbortController();

file.addEventListener("change", () => {
  send(file.files[0]);
  file.value = ""; // so that choosing the same file again is a change
});
document.addEventListener("paste", (event) => send(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => drop.classList.toggle("over", event.relatedTarget !== null));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  send(event.dataTransfer.files[0]);
});
picture.addEventListener("load", () => (figure.hidden = false));

/** Ask the service about a picture and show what it says; a newer picture takes the place of an older one. */
async function send(chosen) {
  if (!chosen) return;
  current.abort();
  const { signal } = (current = new AbortController());
  show(chosen);
  try {
    const prediction = await predict(chosen, signal);
    const signs = await emoji;
    if (!signal.aborted) draw(prediction, signs);
  } catch (error) {
    if (!signal.aborted) tell(error.message, true);
  }
}

async function predict(chosen, signal) {
  const body = new FormData();
  body.append("file", chosen);
  const answer = await fetch("predict", { method: "POST", body, signal }).catch(() => {
    throw new Error("The service cannot be reached.");
  });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.detail ?? `The service answered with status ${answer.status}.`);
  return content;
}

function show(chosen) {
  URL.revokeObjectURL(picture.src);
  figure.hidden = true; // until it has loaded, which an unreadable picture never does
  picture.src = URL.createObjectURL(chosen);
  boxes.replaceChildren();
  faces.replaceChildren();
  result.hidden = false;
  tell("Looking for faces\u2026");
}

function draw({ faces: found, image, timings_ms: timings }, signs) {
  const several = found.length > 1;
  boxes.replaceChildren(...found.flatMap((face, index) => box(face.face_coordinates, image, several && index + 1)));
  faces.replaceChildren(...found.map((face, index) => card(face, signs.get(face.emotion), several && index + 1)));
  const labels = found.map((face) => (face.certain ? face.emotion : "not sure")).join(", ");
  tell(`${several ? `${found.length} faces` : "One face"} in ${Math.round(timings.total)} ms: ${labels}.`);
}

function tell(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("error", wrong);
}

/** The outline of a face, in percent of the upright picture, so that it fits the picture at any size. */
function box({ x, y, width, height }, image, number) {
  const across = (pixels) => `${(100 * pixels) / image.width}%`;
  const down = (pixels) => `${(100 * pixels) / image.height}%`;
  const place = { x: across(x), y: down(y) };
  const outline = svg("rect", { ...place, width: across(width), height: down(height) });
  return number ? [outline, svg("text", { ...place, dx: 8, dy: 22 }, [number])] : [outline];
}

function card(face, sign = "", number) {
  const heading = element("h2", {}, [
    ...(number ? [element("span", { className: "number" }, [number])] : []),
    element("span", { ariaHidden: "true" }, [sign]),
    element("span", { className: "label" }, [face.emotion]),
    element("span", { className: "percent" }, [percent(face.confidence)]),
  ]);
  const sentence = face.certain ? face.message : `Not sure: ${either.format(face.plausible)}`;
  const rows = Object.entries(face.probabilities).map(([name, probability]) =>
    element("tr", {}, [
      element("th", { scope: "row" }, [name]),
      element("td", {}, [bar(probability)]),
      element("td", {}, [percent(probability)]),
    ]),
  );
  const table = element("table", { ariaLabel: "Probability of each expression" }, rows);
  return element("li", {}, [heading, element("p", {}, [sentence]), table]);
}

function bar(probability) {
  const filled = svg("rect", { width: `${100 * probability}%`, height: "100%" });
  return svg("svg", { class: "bar", "aria-hidden": "true" }, [filled]);
}

function percent(probability) {
  return `${Math.round(100 * probability)}\u00a0%`;
}

function element(name, properties, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function svg(name, attributes, children = []) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
}
