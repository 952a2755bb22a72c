// @ts-check
// The model's card as a page.

import { fromTemplate, part, percent } from "./faces.js";
import { Refusal, emotions, model } from "./service.js";

try {
  show(await model(), await emotions());
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  const words = error.wantsKey ? "Enter your API key on the first page, then come back." : error.message;
  part(document, "#model").textContent = words;
}

/** @param {Card} card @param {Emotions} labels */
function show(card, labels) {
  const sets = Object.values(card.evaluation);
  part(document, "#model").textContent = `${card.name} ${card.version}`;
  part(document, "#not-known").textContent = card.not_known;
  part(document, "#licence").textContent = card.licence;
  for (const { data, truth, count, accuracy, accuracy_interval_95: [low, high] } of sets) {
    const name = `${data} (${count.toLocaleString("en")})${truth === "crowd" ? ", by the crowd" : ""}`;
    row("accuracy", name, accuracy, `${percent(low, 1)} to ${percent(high, 1)}`);
  }
  if (card.photographs) {
    const { pictures, count, right } = card.photographs;
    row("accuracy", `Faces of ${pictures} photographs (${count})`, right / count, "");
  }
  for (const [name, { recall, precision }] of Object.entries(sets[0].labels)) {
    row("labels", name, recall, percent(precision, 1), labels.get(name)?.colour);
  }
  for (const { confidence, accuracy, count } of sets[0].calibration) {
    row("calibration", percent(confidence), accuracy, String(count));
  }
  part(document, "main").hidden = false;
}

/** @param {string} table @param {string} name @param {number} share @param {string} text */
function row(table, name, share, text, colour = "var(--accent)") {
  const made = fromTemplate("figure-template");
  const bar = part(made, ".bar");
  part(made, "th").textContent = name;
  part(made, "td:nth-child(3)").textContent = percent(share, 1);
  part(made, "td:last-child").textContent = text;
  bar.style.width = `${100 * share}%`;
  bar.style.setProperty("--colour", colour);
  part(document, `#${table} tbody`).append(made);
}
