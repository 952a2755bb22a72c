// @ts-check
// The model's card as a page.

import { fromTemplate, part } from "./dom.js";
import { Refusal, emotions, model } from "./service.js";
import { colour, percent, word } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

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
  const [main] = sets;
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
  for (const [name, { recall, precision }] of Object.entries(main.labels)) {
    row("labels", word(labels, name), recall, percent(precision, 1), colour(labels, name));
  }
  part(document, "#certain").textContent =
    `An answer is called certain from a probability of ${percent(card.certain_from)} on. On ${main.data} ` +
    `${percent(main.certain_share, 1)} of the answers are, and ${percent(main.certain_accuracy, 1)} of those are right. ` +
    "The others name two labels or end in a question mark: take them as a hint.";
  confusion(main, labels);
  calibration(main);
  part(document, "#figures").hidden = false;
}

/** @param {string} table @param {string} name @param {number} share @param {string} text */
function row(table, name, share, text, shade = "var(--accent)") {
  const made = fromTemplate("figure-template");
  const bar = part(made, ".bar");
  part(made, "th").textContent = name;
  part(made, "td:nth-child(3)").textContent = percent(share, 1);
  part(made, "td:last-child").textContent = text;
  bar.style.width = `${100 * share}%`;
  bar.style.background = shade;
  part(document, `#${table} tbody`).append(made);
}

/** @param {Figures} figures @param {Emotions} labels */
function confusion({ confusion: counts }, labels) {
  const names = [...labels.keys()];
  const heads = names.map((name) => head("col", word(labels, name)));
  part(document, "#confusion thead tr").append(...heads);
  counts.forEach((row, index) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count) => {
      const cell = Object.assign(document.createElement("td"), { textContent: (100 * count / all).toFixed(0) });
      cell.style.setProperty("--share", String(count / all));
      return cell;
    });
    const line = document.createElement("tr");
    line.style.setProperty("--colour", colour(labels, names[index]));
    line.append(head("row", word(labels, names[index])), ...cells);
    part(document, "#confusion tbody").append(line);
  });
}

/** @param {string} scope @param {string} text */
function head(scope, text) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.append(Object.assign(document.createElement("span"), { textContent: text }));
  return cell;
}

/** @param {Figures} figures */
function calibration({ calibration: parts }) {
  const most = Math.max(...parts.map(({ count }) => count));
  const points = parts.map(({ confidence, accuracy }) => [100 * confidence, 100 - 100 * accuracy]);
  part(document, "#calibration polyline").setAttribute("points", points.join(" "));
  part(document, "#calibration g").append(
    ...parts.map(({ count, confidence, accuracy }, index) => {
      const dot = document.createElementNS(SVG, "circle");
      const [x, y] = points[index];
      const title = document.createElementNS(SVG, "title");
      title.textContent = `${percent(confidence)} sure: ${percent(accuracy)} of ${count} are right`;
      for (const [name, value] of Object.entries({ cx: x, cy: y, r: 1.2 + 2.3 * Math.sqrt(count / most) })) {
        dot.setAttribute(name, String(value));
      }
      dot.append(title);
      return dot;
    }),
  );
  const near = parts.map(({ confidence, accuracy, count }) => `${percent(confidence)} sure, ${percent(accuracy)} of ${count} right`);
  part(document, "#calibration-words").textContent = `${near.join("; ")}.`;
}
