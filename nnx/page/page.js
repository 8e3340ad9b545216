// The page: sends the drawing to the network, and shows the answer.

const FEW = 12;
const MOST = 10;
const SAY_AFTER = 700; // ms
const ANSWERED_WITHIN = 5000; // ms
const WORTH_SAYING = 0.01;
const FLATNESS = 4;
const LONG_NAME = 8;
const SIGHT = 11;
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { frame, classes } = data;
const isOfDigits = classes.every((name) => /^\d$/.test(name));
const layers = data.layers?.map(unpacked);
const board = boardOf(frame, changed, say);
let latest = 0;
let asked = false;
let again = false;
let shown = null;
let saying = 0;

// Return {probabilities, hidden} of height * width bytes, computed here or by a server.
async function answerOf(pixels) {
  if (layers) return forward(layers, pixels, data.pixelScale);
  const response = await fetch("answer", {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream", "X-Network": data.key },
    body: pixels,
    signal: AbortSignal.timeout?.(ANSWERED_WITHIN),
  });
  // The server now has another network.
  if (response.status === 409) location.reload();
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

// Call look() before the browser's next frame, once for any number of changes.
function changed() {
  $("undo").disabled = !board.canUndo();
  $("clear").disabled = board.isEmpty();
  $("invitation").hidden = !board.isEmpty();
  if (!latest) latest = requestAnimationFrame(() => ((latest = 0), look()));
}

// Ask for an answer to the board; while one is pending, ask again only once it arrives.
async function look() {
  if (asked) {
    again = true;
    return;
  }
  asked = true;
  const { pixels, blank } = prepare(
    board.grey(), board.canvas.width, board.canvas.height, frame,
  );
  const answer = blank ? null : await answerOf(pixels).catch(() => undefined);
  asked = false;
  $("trouble").hidden = answer !== undefined;
  show({ pixels, answer });
  if (again) {
    again = false;
    look();
  }
}

function show(next) {
  shown = next;
  const { pixels, answer } = next;
  showInput(pixels, !pixels.some((level) => level));
  showAnswer(answer?.probabilities);
  data.hidden.forEach((units, i) => showLayer(i, units, answer?.hidden[i]));
  clearTimeout(saying);
  saying = setTimeout(() => say(summary(answer)), SAY_AFTER);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

// Return the classes' numbers, the most probable first.
function ranked(probabilities) {
  return [...classes.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
}

function summary(answer) {
  if (!answer) return board.isEmpty() ? "The board is empty." : "";
  const shares = answer.probabilities;
  const [first, second] = ranked(shares);
  const words = (i) => `${classes[i]}, ${percent(shares[i])}.`;
  const next = shares[second] > WORTH_SAYING ? ` Next is ${words(second)}` : "";
  return `It takes this for ${words(first)}${next}`;
}

function say(words) {
  $("spoken").textContent = words;
}

function showAnswer(probabilities) {
  document.body.classList.toggle("blank", !probabilities);
  const order = ranked(probabilities ?? classes.map(() => 0));
  const best = probabilities ? order[0] : -1;
  const listed = classes.length <= FEW ? [...classes.keys()] : order.slice(0, MOST);
  $("best").textContent = probabilities ? classes[best] : "?";
  $("best").classList.toggle("long", best >= 0 && classes[best].length > 2);
  $("sure").textContent = probabilities ? percent(probabilities[best]) : "";
  listed.forEach((number, row) => {
    const share = probabilities?.[number] ?? 0;
    const [name, track, value] = $("bars").children[row].children;
    $("bars").children[row].classList.toggle("most", number === best);
    name.textContent = classes[number];
    track.firstChild.style.clipPath = `inset(0 ${100 - 100 * share}% 0 0)`;
    value.textContent = probabilities ? percent(share) : "–";
  });
}

function showInput(pixels, blank) {
  const pen = $("input").getContext("2d");
  pen.clearRect(0, 0, frame.width, frame.height);
  pen.fillStyle = colour("--ink");
  pixels.forEach((level, i) => {
    pen.globalAlpha = level / frame.maximum;
    pen.fillRect(i % frame.width, Math.floor(i / frame.width), 1, 1);
  });
  const size = `${frame.width}×${frame.height} pixels`;
  $("input").setAttribute("aria-label", `The ${size} that the network sees` +
    (blank ? ": empty" : ""));
  $("input-caption").textContent = `${size}: scaled and centred`;
}

// Return how many columns a flat grid of units has, with a full last row if possible.
function columnsOf(units) {
  const rows = Math.round(Math.sqrt(units / (FLATNESS * data.hidden.length))) || 1;
  const near = [rows, rows - 1, rows + 1, rows - 2, rows + 2];
  return Math.ceil(units / (near.find((n) => n > 0 && units % n === 0) ?? rows));
}

// Show a layer's outputs, one square for each unit.
function showLayer(i, units, outputs) {
  const canvas = $("layers").querySelectorAll("canvas")[i];
  const across = columnsOf(units);
  const size = Math.max(2, Math.min(12, Math.floor(2400 / across)));
  canvas.style.maxWidth = `${across * 1.75}rem`;
  canvas.width = across * size;
  canvas.height = Math.ceil(units / across) * size;
  const pen = canvas.getContext("2d");
  const most = outputs?.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  const [zero, above, below] = ["--unit", "--positive", "--negative"].map(colour);
  let active = 0;
  for (let unit = 0; unit < units; unit++) {
    const output = outputs?.[unit] ?? 0;
    const square = [
      (unit % across) * size, Math.floor(unit / across) * size, size - 1, size - 1,
    ];
    active += output > 0;
    pen.globalAlpha = 1;
    pen.fillStyle = zero;
    pen.fillRect(...square);
    pen.globalAlpha = Math.abs(output) / most;
    pen.fillStyle = output > 0 ? above : below;
    pen.fillRect(...square);
  }
  const words = `Hidden layer ${i + 1}: ${units} unit${units === 1 ? "" : "s"}` +
    (outputs ? `, ${active} above zero` : "");
  canvas.setAttribute("aria-label", words);
  canvas.parentElement.querySelector("figcaption").textContent = words;
}

function element(name, classNames, ...children) {
  const made = document.createElement(name);
  made.className = classNames;
  made.append(...children);
  return made;
}

// Return a name's width in the list, in em.
function widthOf(name) {
  const pen = $("input").getContext("2d");
  pen.font = `bold 100px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(name).width / 100;
}

function build() {
  const what = isOfDigits ? "a digit" : `one of ${classes.length} classes`;
  $("title").textContent = `Draw ${what}`;
  $("invitation").textContent = isOfDigits ? "Draw a digit here" : "Draw here";
  $("about").textContent =
    `A network of ${data.network.replaceAll("-", "–")} units reads it as you draw.`;
  $("where").textContent = layers
    ? "Computed by this page itself; nothing that you draw leaves it."
    : "Computed by nnx on the machine that serves this page; nothing is kept.";
  $("input").width = frame.width;
  $("input").height = frame.height;
  $("input").style.maxWidth = `${SIGHT * Math.min(1, frame.width / frame.height)}rem`;
  const rows = classes.length <= FEW ? classes.length : MOST;
  if (rows < classes.length) {
    $("answer-title").textContent += `: the best ${rows} of ${classes.length}`;
  }
  $("bars").style.setProperty("--rows", rows);
  for (let row = 0; row < rows; row++) {
    const track = element("span", "track", element("span", "fill"));
    track.setAttribute("aria-hidden", "true");
    const parts = [element("span", "name"), track, element("span", "share")];
    $("bars").append(element("li", "", ...parts));
  }
  const isShort = classes.every((name) => name.length === 1) && rows === 10;
  const widest = Math.max(...classes.map(widthOf));
  $("bars").classList.toggle("short", isShort);
  $("bars").classList.toggle("long", widest > LONG_NAME);
  $("bars").style.setProperty("--names", `${widest + 0.05}em`);
  for (const _ of data.hidden) {
    const canvas = element("canvas", "");
    canvas.setAttribute("role", "img");
    $("layers").append(element("figure", "hidden", canvas, element("figcaption", "")));
  }
  document.querySelector(".legend").hidden = !data.hidden.length;
  $("undo").addEventListener("click", board.undo);
  $("clear").addEventListener("click", board.clear);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    board.draw();
    show(shown);
  });
}

build();
show({ pixels: new Uint8Array(frame.height * frame.width), answer: null });
clearTimeout(saying);
