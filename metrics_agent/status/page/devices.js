// The table of devices: what is wrong first, then by name; some at a time, because there may be
// thousands.

import { badge, byId, element, facts, keyed, setAttribute, setText } from "./dom.js";
import { ago, number, plural, spaced, span } from "./words.js";

const AT_A_TIME = 50;
const HEADLINES = 4;
// What people look for first, in a row.
const FIELDS = ["power", "temperature", "humidity", "co2", "charge", "energy_today", "state", "contact", "battery", "pressure"];
// Shown in a column of its own, or not as it was when it was written.
const NOT_SHOWN = new Set(["last_seen", "stale", "online"]);

const NOTHING = [{ name: "no values", text: "" }];

const compare = new Intl.Collator("en", { numeric: true }).compare;
const nameOf = (device) => device.friendly.trim() || device.device;
const rank = (name) => (FIELDS.includes(name) ? FIELDS.indexOf(name) : FIELDS.length);

// Return what an object has under a name that a device may have chosen, such as "constructor".
const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);

const moodOf = (device) => {
  if (device.stale) return ["wait", "silent"];
  if (device.online === false) return ["idle", "offline"];
  // That it is online is all that is known of a device without messages of its own.
  return ["good", device.online && device.last_seen === null ? "online" : ""];
};

const shown = (value, unit, measurement) => {
  if (typeof value === "boolean" && measurement === "switch") return value ? "on" : "off";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return value;
  return unit ? `${number(value)} ${unit}` : number(value);
};

// Return the series as they come, the whole device before its channels, each with its values as
// texts.
const valuesOf = (device, units) => {
  const places = device.series.map(({ measurement }) => measurement);
  const order = (a, b) =>
    places.indexOf(a.measurement) - places.indexOf(b.measurement) ||
    Object.keys(a.tags).length - Object.keys(b.tags).length ||
    compare(Object.values(a.tags).join(" "), Object.values(b.tags).join(" "));
  return [...device.series]
    .sort(order)
    .map(({ measurement, tags, fields }) => ({
      measurement,
      title: [measurement, ...Object.entries(tags).map(([name, value]) => (name === "channel" ? `channel ${value}` : value))].join(", "),
      tags: Object.values(tags).join(" "),
      values: Object.entries(fields)
        .filter(([name]) => !NOT_SHOWN.has(name))
        .map(([name, value]) => [name, shown(value, own(own(units, measurement), name), measurement)]),
    }))
    .filter(({ values }) => values.length);
};

// Return the values that a row shows: each field once, those that people look for first.
const headlines = (series) => {
  const all = series.flatMap(({ measurement, tags, values }) =>
    values.map(([name, text]) => ({ name, text, first: FIELDS.includes(name), aside: measurement === "device" || tags })),
  );
  const seen = new Set();
  return all
    .filter(({ first, aside }) => first || !aside || all.length <= HEADLINES)
    .sort((a, b) => rank(a.name) - rank(b.name))
    .filter(({ name }) => !seen.has(name) && seen.add(name))
    .slice(0, HEADLINES);
};

const headline = () => {
  const value = element("b");
  const name = element("span");
  return {
    node: element("span", "headline", value, " ", name),
    update: (item) => {
      setText(value, item.text);
      setText(name, spaced(item.name));
    },
  };
};

const seriesView = () => {
  const title = element("h4");
  const list = element("dl", "facts");
  const setValues = facts(list);
  return {
    node: element("div", "series", title, list),
    update: (item) => {
      setText(title, item.title);
      setValues(item.values.map(([name, text]) => [spaced(name), text]));
    },
  };
};

const values = () => {
  const first = element("span", "headlines");
  const rest = element("span", "link");
  const all = element("div", "all");
  const details = element("details", "", element("summary", "", first, rest), all);
  const setFirst = keyed(first, (item) => item.name, headline);
  const setAll = keyed(all, (item) => item.title, seriesView);
  let series = [];
  let left = 0;
  const open = () => {
    setText(rest, details.open ? "less" : left ? `${number(left)} more` : "");
    // Thousands of values are made only where someone looks.
    if (details.open) setAll(series);
  };
  details.addEventListener("toggle", open);
  return {
    node: details,
    update: (device, units) => {
      series = valuesOf(device, units);
      const top = headlines(series);
      left = series.reduce((sum, each) => sum + each.values.length, 0) - top.length;
      setFirst(top.length ? top : NOTHING);
      open();
    },
  };
};

const deviceRow = (units) => () => {
  const name = element("bdi", "name");
  const about = element("span", "quiet");
  const state = badge();
  const seen = element("span");
  const every = element("span", "quiet");
  const view = values();
  const head = element("th", "", name, about);
  head.scope = "row";
  const node = element("tr", "", head, element("td", "", view.node), element("td", "seen", seen, state.node, every));
  // A narrow screen has them below each other, which would take the meaning of a table away.
  node.setAttribute("role", "row");
  head.setAttribute("role", "rowheader");
  for (const cell of node.querySelectorAll("td")) cell.setAttribute("role", "cell");
  return {
    node,
    update: (device) => {
      setText(name, nameOf(device));
      const id = nameOf(device) === device.device ? "" : `${device.device}, `;
      setText(about, `${id}${device.module}`);
      const [mood, word] = moodOf(device);
      state.update(mood, word);
      state.node.hidden = !word;
      setText(seen, device.last_seen === null ? (word ? "" : "never") : ago(device.last_seen));
      setText(every, device.interval ? `every ${span(device.interval)}` : "");
      view.update(device, units());
    },
  };
};

let devices = [];
let units = {}; // by measurement and field
let limit = AT_A_TIME;
const search = byId("search");
const more = byId("more");
const setDevices = keyed(byId("devices"), (device) => `${device.module}\n${device.device}`, deviceRow(() => units));

const matches = (words) => (device) => {
  const text = [device.friendly, device.device, device.module, device.vendor, moodOf(device)[1]].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
};

const order = (a, b) => b.stale - a.stale || compare(nameOf(a), nameOf(b)) || compare(a.device, b.device);

const show = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = devices.filter(matches(words));
  setDevices(found.slice(0, limit));
  const silent = devices.filter((device) => device.stale).length;
  const parts = [words.length ? `${number(found.length)} of ${plural(devices.length, "device")}` : plural(devices.length, "device")];
  if (silent) parts.push(`${number(silent)} silent`);
  setText(byId("device-count"), parts.join(", "));
  byId("device-table").hidden = !found.length;
  more.hidden = found.length <= limit;
  setText(more, `Show ${number(Math.min(AT_A_TIME, found.length - limit))} more of ${number(found.length - limit)}`);
};

export const showDevices = (state) => {
  units = state.units;
  devices = [...state.devices].sort(order);
  show();
};

search.addEventListener("input", () => {
  limit = AT_A_TIME;
  show();
});
more.addEventListener("click", () => {
  const last = byId("devices").lastElementChild;
  limit += AT_A_TIME;
  show();
  // Keyboards go on at the first new one.
  last?.nextElementSibling?.querySelector("summary").focus({ preventScroll: true });
});
for (const [selector, role] of [["#device-table", "table"], ["#device-table thead, #devices", "rowgroup"], ["#device-table thead tr", "row"], ["#device-table thead th", "columnheader"]]) {
  for (const node of document.querySelectorAll(selector)) setAttribute(node, "role", role);
}
