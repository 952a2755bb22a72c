// @ts-check
// Redoc over the service's own description; its search would need a worker from a blob, which the page's policy forbids.
// `redoc/redoc.standalone.js` is that of redoc 2.5.4 on npm, but for the address of a logo, which is empty.

const { Redoc } = /** @type {any} */ (window);
const fontFamily = "system-ui, sans-serif";

Redoc.init(
  "openapi.json",
  { disableSearch: true, theme: { typography: { fontFamily, headings: { fontFamily } } } },
  document.getElementById("redoc"),
);
