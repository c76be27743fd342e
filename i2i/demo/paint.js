// Painting a mask on a picture, with a pointer or with the keyboard. The server sends the picture, and maybe a mask to
// start from; it gets the mask as a PNG, white on black, after each stroke. `element` and `trigger` come from gradio.

const COLOUR = '#ff4000';
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
let at = null;        // the brush, in pixels of the mask
let painting = false;

const canvas = () => element.querySelector('canvas');
const setting = name => element.querySelector(`[name=${name}]`);
const diameter = () => Math.max(1, canvas().width * setting('size').value / 100);

function begin() {  // there is another picture
  at = null;
  painting = false;
  const painted = element.querySelector('.painted'), drawn = canvas();
  if (painted && drawn) painted.decode().then(() => drawn.getContext('2d').drawImage(painted, 0, 0));
}

function paintTo(next) {
  const context = canvas().getContext('2d'), from = painting && at ? at : next;
  context.globalCompositeOperation = setting('erase').checked ? 'destination-out' : 'source-over';
  context.strokeStyle = COLOUR;
  context.lineCap = 'round';
  context.lineWidth = diameter();
  context.beginPath();
  context.moveTo(from[0], from[1]);
  context.lineTo(next[0], next[1] + 0.001);  // a line of no length would not be drawn
  context.stroke();
}

function moveTo(next) {
  const drawn = canvas(), brush = element.querySelector('.brush');
  at = [Math.min(Math.max(next[0], 0), drawn.width), Math.min(Math.max(next[1], 0), drawn.height)];
  brush.style.left = `${100 * at[0] / drawn.width}%`;
  brush.style.top = `${100 * at[1] / drawn.height}%`;
  brush.style.width = `${100 * diameter() / drawn.width}%`;
}

function send() {
  const drawn = canvas(), mask = document.createElement('canvas');
  mask.width = drawn.width;
  mask.height = drawn.height;
  const pixels = drawn.getContext('2d').getImageData(0, 0, mask.width, mask.height);
  for (let n = 0; n < pixels.data.length; n += 4) {
    pixels.data.fill(pixels.data[n + 3] > 127 ? 255 : 0, n, n + 3);
    pixels.data[n + 3] = 255;
  }
  mask.getContext('2d').putImageData(pixels, 0, 0);
  trigger('select', {mask: mask.toDataURL('image/png')});
}

function place(event) {
  const drawn = canvas(), box = drawn.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * drawn.width, (event.clientY - box.top) / box.height * drawn.height];
}

element.addEventListener('pointerdown', event => {
  if (event.target !== canvas() || event.button) return;
  event.target.setPointerCapture(event.pointerId);
  at = null;
  paintTo(place(event));
  moveTo(place(event));
  painting = true;
});
element.addEventListener('pointermove', event => {
  if (event.target !== canvas()) return;
  if (painting) paintTo(place(event));
  moveTo(place(event));
});
for (const end of ['pointerup', 'pointercancel']) element.addEventListener(end, () => {
  if (!painting) return;
  painting = false;
  send();
});

element.addEventListener('keydown', event => {
  if (event.target !== canvas()) return;
  const middle = [canvas().width / 2, canvas().height / 2];
  if (event.key === ' ') {
    event.preventDefault();
    if (event.repeat) return;
    paintTo(at || middle);
    moveTo(at || middle);
    painting = true;
  } else if (event.key in STEPS) {
    event.preventDefault();
    const far = Math.max(1, diameter() / 2), [right, down] = STEPS[event.key], from = at || middle;
    const next = [from[0] + right * far, from[1] + down * far];
    if (painting) paintTo(next);
    moveTo(next);
  }
});
element.addEventListener('keyup', event => {
  if (event.target !== canvas() || event.key !== ' ' || !painting) return;
  painting = false;
  send();
});
element.addEventListener('focusin', event => {
  if (event.target === canvas()) moveTo(at || [canvas().width / 2, canvas().height / 2]);
});
element.addEventListener('input', event => {
  if (event.target.name === 'size' && at) moveTo(at);
  event.stopPropagation();
});
element.addEventListener('click', event => {
  if (event.target.name !== 'clear') return;
  canvas().getContext('2d').clearRect(0, 0, canvas().width, canvas().height);
  send();
});
new MutationObserver(changes => {
  if (changes.some(change => [...change.addedNodes].some(node => node.nodeType === 1))) begin();
}).observe(element, {childList: true, subtree: true});
begin();
