// The status page: asks the agent every few seconds and shows what it answers.

import { showDevices } from "./devices.js";
import { byId, element, facts, keyed, setAttribute, setText } from "./dom.js";
import { showConnections, showModules, showOutput } from "./modules.js";
import { ago, bytes, clock, number, plural, span, visible } from "./words.js";

const VISIBLE_S = 3;
const HIDDEN_S = 60;
const ANSWER_S = 10;
const SHARE = 10; // A page takes at most a tenth of the agent's time for thousands of devices.

const setProblems = keyed(
  byId("problems"),
  (item) => `${item.module}\n${item.text}`,
  () => {
    const name = element("strong");
    const text = element("span");
    return {
      node: element("li", "", name, " ", text),
      update: (item) => {
        setText(name, item.module);
        setText(text, item.text);
      },
    };
  },
);
const setAgent = facts(byId("agent"));

let version = "";
let answered = null; // when the agent answered last
let failing = null; // since when it does not

const say = (mood, sentence, note) => {
  setAttribute(byId("verdict"), "data-mood", mood);
  setText(byId("sentence"), sentence);
  setText(byId("note"), note);
  document.title = visible(`${sentence} metrics-agent`);
};

const judge = ({ problems, devices, modules, agent }) => {
  const silent = devices.filter((device) => device.stale).length;
  const are = silent === 1 ? "1 device is silent" : `${number(silent)} devices are silent`;
  const counts = `${plural(modules.length, "module")}, ${plural(devices.length, "device")}`;
  if (agent.stopping) return ["wait", "The agent is stopping.", counts];
  if (problems.length) return ["bad", `${plural(problems.length, "problem")}.`, silent ? `Also, ${are}.` : ""];
  return silent ? ["wait", `The agent works; ${are}.`, counts] : ["good", "All is well.", counts];
};

const reload = (done) => {
  if (!done) return null;
  if (!done.accepted) return `${ago(done.since)}, rejected: ${[done.reasons].flat().join("; ")}`;
  const parts = Object.entries(done.modules).filter(([, names]) => names.length);
  return `${ago(done.since)}: ${parts.map(([word, names]) => `${names.length} ${word}`).join(", ") || "no modules"}`;
};

const showAgent = (agent) => {
  setText(byId("instance"), agent.instance);
  setAgent([
    ["Version", agent.version],
    ["Runs for", span(agent.uptime)],
    ["Metrics", number(agent.metrics)],
    ["Errors", number(agent.errors)],
    ["Memory", agent.memory === undefined ? null : bytes(agent.memory)],
    ["Processor", agent.cpu === undefined ? null : `${span(agent.cpu)} in all`],
    ["Reactor late by", agent.reactor_lag_max === undefined ? null : `${span(agent.reactor_lag_max)} at most`],
    ["Open files", agent.open_files === undefined ? null : number(agent.open_files)],
    ["Last reload", reload(agent.last_reload)],
    ["Reloads rejected", agent.reloads_rejected ? number(agent.reloads_rejected) : null],
    ["Configuration", agent.config],
  ]);
};

const show = (state) => {
  say(...judge(state));
  setProblems(state.problems);
  showModules(state);
  showConnections(state);
  showOutput(state);
  showDevices(state);
  showAgent(state.agent);
  byId("content").hidden = false;
  setText(byId("updated"), `as of ${clock(answered)}`);
};

class Locked extends Error {}

const ask = async () => {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), ANSWER_S * 1000);
  try {
    const response = await fetch("status.json", { cache: "no-store", signal: limit.signal });
    if (response.status === 401) throw new Locked();
    if (!response.ok) throw new Error(`it answers with the status ${response.status}`);
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
};

const reason = (error) => {
  if (error.name === "AbortError") return `it has not answered within ${ANSWER_S} s`;
  return error instanceof TypeError ? "it cannot be reached" : error.message;
};

const fail = (error) => {
  setProblems([]);
  if (error instanceof Locked) {
    say("bad", "The agent asks for its token.", "Open /?token=TOKEN here once, with the token of [status] in its configuration.");
    return;
  }
  failing ??= answered ?? new Date();
  const time = span(Math.round((Date.now() - failing) / 1000));
  const below = answered ? " Below is what it said last." : "";
  say("bad", "The agent does not answer.", `Since ${clock(failing)}, for ${time}: ${reason(error)}. Trying again.${below}`);
};

// Ask and show; return how long the answer took, in seconds.
const refresh = async () => {
  const began = performance.now();
  let state = null;
  try {
    state = await ask();
  } catch (error) {
    fail(error);
  }
  const took = (performance.now() - began) / 1000;
  byId("content").classList.toggle("old", state === null);
  if (state === null) return took;
  // The files of another version may not fit its answers.
  if (version && version !== state.agent.version) location.reload();
  version = state.agent.version;
  answered = new Date();
  failing = null;
  show(state);
  return took;
};

let timer = 0;
let asking = false;
const run = async () => {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  let took = 0;
  try {
    took = await refresh();
  } finally {
    asking = false;
    const pause = document.hidden ? HIDDEN_S : Math.max(VISIBLE_S, failing ? 0 : SHARE * took);
    timer = setTimeout(run, pause * 1000);
  }
};

document.addEventListener("visibilitychange", () => document.hidden || run());
run();
