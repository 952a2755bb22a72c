// @ts-check
// The model's card as a page.

import { fromTemplate, part, percent } from "./faces.js";
import { emotions, model } from "./service.js";

try {
  show(await model(), await emotions());
} catch (error) {
  const { message, wantsKey } = /** @type {import("./service.js").Refusal} */ (error);
  part(document, "#model").textContent = wantsKey ? "Enter your API key on the first page, then come back." : message;
}

/** @param {Card} card @param {Emotions} labels */
function show(card, labels) {
  const sets = Object.values(card.evaluation);
  part(document, "#model").textContent = `${card.name} ${card.version}`;
  part(document, "#not-known").textContent = card.not_known;
  for (const { data, count, accuracy, accuracy_interval_95: [low, high] } of sets) {
    row("accuracy", `${data} (${count.toLocaleString("en")})`, accuracy, `${exact(low)} to ${exact(high)}`);
  }
  for (const [name, { recall, precision }] of Object.entries(sets[0].labels)) {
    row("labels", name, recall, percent(precision), labels.get(name)?.colour);
  }
  for (const { confidence, accuracy, count } of sets[0].calibration) {
    row("calibration", percent(confidence), accuracy, String(count));
  }
  part(document, "main").hidden = false;
}

const exact = (/** @type {number} */ share) => `${(100 * share).toFixed(1)}\u00a0%`;

/** @param {string} table @param {string} name @param {number} share @param {string} text */
function row(table, name, share, text, colour = "var(--accent)") {
  const made = fromTemplate("figure-template");
  const bar = part(made, ".bar");
  part(made, "th").textContent = name;
  part(made, "td:last-child").textContent = text;
  bar.style.width = `${100 * share}%`;
  bar.style.setProperty("--colour", colour);
  bar.textContent = exact(share);
  part(document, `#${table} tbody`).append(made);
}
