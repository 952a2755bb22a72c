// @ts-check
// Elements of the page, and copies of its templates.

/** The first element in `root` that matches; there must be one. @param {ParentNode} root @param {string} selector */
export const part = (root, selector) => /** @type {HTMLElement} */ (root.querySelector(selector));

/** A copy of the element in a template of the page. @param {string} id */
export function fromTemplate(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (document.importNode(template.content, true).firstElementChild);
}

/** Let the browser save a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
