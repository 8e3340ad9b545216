// The board: strokes by pointer or keyboard, with undo, as ink on a clear canvas.

const LONG_SIDE = 560;
const STROKE = 160;
const STEP = 0.04;
const SMALL_STEP = 0.01;
const ARROWS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

// Return the board of a frame; changed() is called after each change, and
// say(words) with what a screen reader should say.
function boardOf(frame, changed, say) {
  const canvas = document.getElementById("board");
  const scale = LONG_SIDE / Math.max(frame.width, frame.height);
  canvas.width = Math.max(1, Math.round(frame.width * scale));
  canvas.height = Math.max(1, Math.round(frame.height * scale));
  canvas.parentElement.style.maxWidth = `${canvas.width}px`;
  const side = Math.min(canvas.width, canvas.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const width = document.getElementById("width");
  // Strokes are about 2 pixels wide both in MNIST, whose box has 20, and in 8x8 digits.
  width.value = STROKE / frame.box;
  let strokes = [];
  let former = [];
  let underway = false; // whether the last stroke may still be extended

  function draw() {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = pen.fillStyle = colour("--ink");
    for (const stroke of strokes) drawStroke(pen, stroke);
  }
  function change(next) {
    strokes = next;
    draw();
    changed();
  }
  function begin(point) {
    former.push(strokes);
    underway = true;
    change([...strokes, { points: [point], width: (width.value / 100) * side }]);
  }
  function goOn(points) {
    if (!underway) return;
    const last = strokes.at(-1);
    change([...strokes.slice(0, -1), { ...last, points: [...last.points, ...points] }]);
  }
  function undo() {
    underway = false;
    if (former.length) change(former.pop());
  }
  function clear() {
    if (!strokes.length) return;
    underway = false;
    former.push(strokes);
    change([]);
  }
  // Return the ink on the board: width * height levels of 0 to 255.
  function grey() {
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const levels = new Uint8Array(data.length / 4);
    for (let i = 0; i < levels.length; i++) levels[i] = data[4 * i + 3];
    return levels;
  }

  const board = {
    canvas, draw, begin, goOn, undo, clear, grey,
    isEmpty: () => !strokes.length,
    canUndo: () => former.length > 0,
  };
  followPointer(board);
  followKeys(board, side, say);
  return board;
}

function drawStroke(pen, { points, width }) {
  const [first, ...others] = points;
  pen.lineWidth = width;
  pen.beginPath();
  if (!others.length) {
    pen.arc(...first, width / 2, 0, 2 * Math.PI);
    pen.fill();
    return;
  }
  pen.moveTo(...first);
  // Curves through the midpoints of neighbouring points: a fast stroke gets no corners.
  points.slice(1, -1).forEach(([x, y], i) => {
    const [nextX, nextY] = points[i + 2];
    pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  });
  pen.lineTo(...points.at(-1));
  pen.stroke();
}

function followPointer({ canvas, begin, goOn }) {
  let drawing = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (drawing !== null || event.button !== 0) return;
    drawing = event.pointerId;
    canvas.setPointerCapture(drawing);
    begin(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const parts = event.getCoalescedEvents?.() ?? [];
    goOn((parts.length ? parts : [event]).map(place));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === drawing) drawing = null;
    });
  }
}

function followKeys({ canvas, begin, goOn, undo, clear }, side, say) {
  const mark = document.getElementById("cursor");
  let at = [canvas.width / 2, canvas.height / 4];
  let down = false;

  function show() {
    mark.style.left = `${(100 * at[0]) / canvas.width}%`;
    mark.style.top = `${(100 * at[1]) / canvas.height}%`;
    mark.classList.toggle("down", down);
  }
  function lift() {
    down = false;
    show();
  }
  function move([x, y], step) {
    const inside = (value, most) => Math.min(most, Math.max(0, value));
    at = [
      inside(at[0] + x * step * side, canvas.width),
      inside(at[1] + y * step * side, canvas.height),
    ];
    if (down) goOn([at]);
    show();
  }
  function press() {
    down = !down;
    if (down) begin(at);
    show();
    say(down ? "Pen down." : "Pen lifted.");
  }
  const KEYS = {
    " ": press, Enter: press,
    Backspace: () => (lift(), undo()), Delete: () => (lift(), clear()),
    Escape: () => (lift(), clear()),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.ctrlKey) return;
    const arrow = ARROWS[event.key];
    if (!arrow && !KEYS[event.key]) return;
    event.preventDefault();
    mark.hidden = false;
    if (arrow) move(arrow, event.shiftKey ? SMALL_STEP : STEP);
    else if (!event.repeat || event.key === "Backspace") KEYS[event.key]();
  });
  canvas.addEventListener("focus", () => {
    mark.hidden = !canvas.matches(":focus-visible");
    show();
  });
  canvas.addEventListener("blur", () => ((mark.hidden = true), lift()));
  canvas.addEventListener("pointerdown", () => ((mark.hidden = true), lift()));
}

// Return a colour of the page's style, as it is now.
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
