/** Making elements. */

/**
 * @param {string} name  tag
 * @param {object} [attributes]  `text`, `class`, `data` (object), `on` (object of listeners); else attributes
 * @param {(Node|string|null)[]} [children]
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "class") made.className = value;
    else if (key === "data") Object.assign(made.dataset, value);
    else if (key === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * A button that a mouse may press for what a key does; it never keeps the focus from the keys.
 * @param {string} text
 * @param {string} key  shown beside it
 * @param {() => void} run
 * @param {object} [attributes]
 * @returns {HTMLElement}
 */
export function keyButton(text, key, run, attributes = {}) {
  const parts = [element("span", { text })];
  if (key) parts.push(element("kbd", { text: key, "aria-hidden": "true" }));
  return element("button", { type: "button", on: { click: run }, ...attributes }, parts);
}

/**
 * A canvas that is as sharp as the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width  CSS pixels
 * @param {number} height
 * @returns {CanvasRenderingContext2D} scaled to CSS pixels, cleared
 */
export function sharp(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * The size of an element, measured when it changes and not whenever it is drawn: asking in the midst of drawing would
 * lay out the page each time.
 * @param {HTMLElement} node
 * @param {() => void} onChange
 * @returns {{width: number, height: number, stop: () => void}} CSS pixels
 */
export function sized(node, onChange) {
  const size = { width: 0, height: 0 };
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (size.width === contentRect.width && size.height === contentRect.height) return;
    Object.assign(size, { width: contentRect.width, height: contentRect.height });
    onChange();
  });
  observer.observe(node);
  return Object.assign(size, { stop: () => observer.disconnect() });
}

/**
 * A part of the sidebar.
 * @param {string} name
 * @param {string} title  empty: none
 * @param {Node[]} [children]
 * @returns {HTMLElement}
 */
export function block(name, title, children = []) {
  const head = title ? [element("h2", { text: title })] : [];
  return element("section", { class: `side side-${name}`, data: { testid: name } }, [...head, ...children]);
}

/**
 * Put a text on the clipboard, also where the page came over a network without encryption: then browsers have no
 * clipboard of their own to offer.
 * @param {string} text
 */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = element("textarea", { class: "off-screen", "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("this browser does not let the page copy: mark the text and copy it yourself");
}
