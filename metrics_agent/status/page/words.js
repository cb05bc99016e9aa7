// Texts and numbers as people read them.

// Characters that forge, hide or reorder text; the same as in metrics_agent/characters.py.
const UNSAFE = new RegExp(
  "[" +
    String.raw`\x00-\x1f\x7f-\x9f\u2028\u2029` +
    String.raw`\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e` +
    String.raw`\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\ufff9-\ufffb` +
    String.raw`\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}` +
    String.raw`\ud800-\udfff\p{Noncharacter_Code_Point}` +
    "]",
  "gu",
);
const SECONDS = [
  [24 * 3600, "d"],
  [3600, "h"],
  [60, "min"],
];
const SCALES = [
  [2 ** 30, "GiB"],
  [2 ** 20, "MiB"],
  [2 ** 10, "KiB"],
];

const escape = (character) => {
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "    ";
  const code = character.codePointAt(0);
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
};

// Return a text in which such characters are escapes.
export const visible = (text) => String(text).replace(UNSAFE, escape);

// Return a number with at most six digits that count; with an exponent where it had many zeros.
export const number = (value) => {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-6)) return Number(value.toPrecision(6)).toExponential();
  return value.toLocaleString("en-US", { maximumSignificantDigits: 6, useGrouping: size >= 10000 });
};

// Return a time span, the largest unit that gives at least two of it.
export const span = (seconds) => {
  for (const [unit, name] of SECONDS) {
    if (seconds >= 2 * unit) return `${Math.round(seconds / unit)} ${name}`;
  }
  return seconds > 0 && seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${Math.round(seconds)} s`;
};

// Return how long ago something was, in whole seconds at best: the page asks every few seconds.
export const ago = (seconds) => (seconds < 1 ? "now" : `${span(seconds)} ago`);

export const bytes = (count) => {
  for (const [unit, name] of SCALES) {
    if (count >= unit) return `${number(Number((count / unit).toPrecision(3)))} ${name}`;
  }
  return `${count} B`;
};

// Return a count and its noun.
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

// Return a field's name, or a state's, as words.
export const spaced = (name) => visible(name).replaceAll("_", " ");

export const clock = (time) => time.toLocaleTimeString([], { hour12: false });
