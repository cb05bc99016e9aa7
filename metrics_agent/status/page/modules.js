// Modules as cards; connections and outputs as rows.

import { chart } from "./chart.js";
import { badge, byId, element, facts, keyed, setText } from "./dom.js";
import { ago, bytes, number, plural, spaced, span } from "./words.js";

const MOODS = {
  running: "good",
  starting: "wait",
  clearing: "wait",
  backing_off: "wait",
  stopping: "wait",
  parked: "bad",
  config_error: "bad",
};
const WORDS = { config_error: "wrong settings" };

const dropped = (row) =>
  Object.entries(row)
    .filter(([name]) => name.startsWith("dropped_"))
    .map(([name, count]) => `${number(count)} ${spaced(name.slice("dropped_".length))}`)
    .join(", ");

const card = () => {
  const name = element("h3");
  const state = badge();
  const since = element("p", "quiet");
  const rate = element("p", "rate");
  const picture = chart();
  const counts = element("dl", "facts");
  const error = element("p", "error");
  const node = element("li", "card", element("div", "heading", name, state.node), since, rate, picture.node, counts, error);
  const setCounts = facts(counts);
  return {
    node,
    update: ({ row, points, step }) => {
      setText(name, row.module);
      state.update(MOODS[row.state_text] ?? "idle", WORDS[row.state_text] ?? spaced(row.state_text));
      const restarts = row.restarts ? plural(row.restarts, "restart") : "no restarts";
      const all = row.restarts_recent === row.restarts;
      const recent = !row.restarts_recent ? "" : all ? " lately" : `, ${number(row.restarts_recent)} of them lately`;
      const time = row.state_since === undefined ? "" : `for ${span(Math.round(row.state_since))}, `;
      setText(since, `${time}${restarts}${recent}`);
      const last = points.at(-1);
      setText(rate, last ? `${number(Number(last[0].toPrecision(3)))} metrics/s` : plural(row.metrics, "metric"));
      picture.update(points, step);
      setCounts([
        ["Last metric", row.last_metric === undefined ? "none yet" : ago(row.last_metric)],
        ["Metrics", number(row.metrics)],
        ["Messages", row.messages ? number(row.messages) : null],
        ["Errors", number(row.errors)],
        ["Dropped", dropped(row) || null],
      ]);
      error.hidden = row.last_error === undefined;
      // One that is over is worth a look, no more.
      error.classList.toggle("over", row.state_text === "running");
      if (!error.hidden) {
        const when = row.last_error_since === undefined ? "" : `, ${ago(row.last_error_since)}`;
        setText(error, `Last error in ${row.last_error_place}${when}: ${row.last_error}`);
      }
    },
  };
};

const row = (describe) => () => {
  const name = element("span", "address");
  const state = badge();
  const about = element("p", "quiet");
  const error = element("p", "error");
  const node = element("li", "", element("div", "heading", name, state.node), about, error);
  return {
    node,
    update: (item) => {
      const shown = describe(item);
      setText(name, shown.name);
      state.update(shown.mood, shown.word);
      setText(about, shown.about);
      setText(error, item.last_error ?? "");
      error.hidden = !item.last_error;
    },
  };
};

const connection = (item) => {
  const connected = item.state_text === "running";
  const [mood, word] = connected ? ["good", "connected"] : item.last_error ? ["bad", "not connected"] : ["wait", "connecting"];
  const about = [`of ${item.module_instance}`, dropped(item) && `dropped: ${dropped(item)}`];
  return { name: item.broker, mood, word, about: about.filter(Boolean).join("; ") };
};

const output = (item) => {
  const works = item.state_text === "running";
  const about = [`${plural(item.metrics, "metric")} delivered`];
  about.push(item.dropped ? `${number(item.dropped)} lost (${dropped(item)})` : "none rejected or lost");
  return { name: item.output, mood: works ? "good" : "bad", word: works ? "works" : "does not work", about: about.join("; ") };
};

const setModules = keyed(byId("modules"), (item) => item.row.module, card);
const setConnections = keyed(
  byId("connections"),
  (item) => `${item.module_instance}\n${item.broker}\n${item.client_id}`,
  row(connection),
);
const setOutputs = keyed(byId("outputs"), (item) => item.output, row(output));
const setQueue = facts(byId("queue"));

export const showModules = (state) => {
  const { step, modules } = state.history ?? { step: 0, modules: {} };
  setModules(state.modules.map((item) => ({ row: item, points: modules[item.module] ?? [], step })));
  byId("no-modules").hidden = state.modules.length > 0;
};

export const showConnections = (state) => {
  setConnections(state.connections);
  byId("no-connections").hidden = state.connections.length > 0;
};

export const showOutput = ({ outputs, agent }) => {
  setOutputs(outputs);
  setQueue([
    ["Queue", agent.queue_metrics ? `${plural(agent.queue_metrics, "metric")}, ${bytes(agent.queue_bytes)}` : "empty"],
    ["Delivery lag", agent.delivery_lag === undefined ? null : span(agent.delivery_lag)],
  ]);
};
