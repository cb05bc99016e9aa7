// A stand-in for the radio of Zigbee2MQTT: node --require zigbee_radio.js .../zigbee2mqtt/cli.js
//
// Zigbee2MQTT itself is the real one; the class that it would make for its USB stick is replaced.
// What it sends is acknowledged and goes nowhere. A line of JSON on standard input is a report of
// a device: {"address": 4660, "cluster": "genOnOff", "attributes": {"onOff": 1}}; it becomes a frame
// of the Zigbee Cluster Library, in bytes.
"use strict";

const readline = require("node:readline");
const path = require("node:path");

const herdsman = path.dirname(require.resolve("zigbee-herdsman", {paths: [path.dirname(process.argv[1])]}));
const {Adapter} = require(path.join(herdsman, "adapter", "adapter.js"));
const {Zcl} = require(herdsman);

const COORDINATOR = "0x00124b0000000001";
const NO_ANSWER = Promise.resolve(undefined);

class Radio extends Adapter {
    start() {
        readline.createInterface({input: process.stdin}).on("line", (line) => this.report(JSON.parse(line)));
        return Promise.resolve("resumed");
    }

    report({address, endpoint = 1, cluster, attributes}) {
        const {ID: id, attributes: known} = Zcl.Utils.getCluster(cluster, undefined, {});
        const records = Object.entries(attributes).map(([name, attrData]) => ({
            attrId: known[name].ID,
            dataType: known[name].type,
            attrData,
        }));
        const frame = Zcl.Frame.create(
            Zcl.FrameType.GLOBAL, Zcl.Direction.SERVER_TO_CLIENT, true, undefined, 1, "report", id, records, {},
        );
        const data = frame.toBuffer();
        const header = Zcl.Header.fromBuffer(data);
        this.emit("zclPayload", {
            clusterID: id, header, data, address, endpoint,
            linkquality: 120, groupID: 0, wasBroadcast: false, destinationEndpoint: 1,
        });
    }

    stop() { return NO_ANSWER; }
    getCoordinatorIEEE() { return Promise.resolve(COORDINATOR); }
    getCoordinatorVersion() { return Promise.resolve({type: "stand-in", meta: {revision: 1}}); }
    getNetworkParameters() {
        return Promise.resolve({panID: 6754, extendedPanID: "0xdddddddddddddddd", channel: 11, nwkUpdateID: 0});
    }
    supportsBackup() { return Promise.resolve(false); }
    permitJoin() { return NO_ANSWER; }
    sendZdo() { return NO_ANSWER; }
    sendZclFrameToEndpoint() { return NO_ANSWER; }
    sendZclFrameToGroup() { return NO_ANSWER; }
    sendZclFrameToAll() { return NO_ANSWER; }
    waitFor() { return {promise: new Promise(() => {}), cancel() {}}; }
}

Adapter.create = (...options) => Promise.resolve(new Radio(...options));
