// SPDX-License-Identifier: BSD-3-Clause
/**
 * Plugins for becket, in JavaScript.
 *
 *     import { Plugin } from "becket";
 *
 *     const plugin = new Plugin("greeter", "0.1.0");
 *     plugin.unary("hello", (call) => `Hello, ${call.text || "world"}`);
 *     plugin.run();
 *
 * The host starts the program in a process of its own (`command = ["node", "greeter.js"]`) and passes it a socket.
 */

export { Plugin } from "./plugin.js";
export { Call, Session, Sink } from "./call.js";
export { Cancelled, Failure, Refusal, Status, statusName } from "./status.js";
