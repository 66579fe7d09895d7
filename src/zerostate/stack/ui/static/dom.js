// @ts-check
// The one way to make elements. Text from spans only ever becomes a text node or the
// value of a harmless attribute: nothing here, or anywhere, parses it as markup.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {string | number | boolean | null | undefined | EventListener} Prop */

/**
 * Make an element. A property that starts with "on" is an event listener, every other
 * one an attribute; `false`, `null` and `undefined` leave it out.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, Prop>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
  return element;
}

/**
 * Text from outside, set apart so that right-to-left marks in it cannot reorder ours.
 *
 * @param {string} text
 * @param {string} [className]
 */
export function outside(text, className = "") {
  return h("bdi", { class: className, title: text }, text);
}

/**
 * A button that copies `text`; says so for a moment.
 *
 * @param {string} text
 * @param {string} what Name of the thing, for screen readers.
 */
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    button.textContent = (await copied(text)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http off loopback has no clipboard: leave that to the reader.
    return false;
  }
}

/**
 * A message in place of content: what is so, and what to do about it.
 *
 * @param {"empty" | "error"} kind
 * @param {string} title
 * @param {...Child} rest
 */
export function notice(kind, title, ...rest) {
  const role = kind === "error" ? "alert" : "status";
  return h(
    "section",
    { class: `notice ${kind}`, role, "data-testid": `notice-${kind}` },
    h("h2", {}, title),
    ...rest,
  );
}
