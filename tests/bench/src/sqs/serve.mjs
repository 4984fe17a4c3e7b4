// fauxqs on a free port of 127.0.0.1, whose address is printed. Ends with its standard input. DISTANCE_MS is how long an
// answer takes from here, beside what it costs.
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false });
const distance = Number(process.env.DISTANCE_MS ?? 0);
if (distance > 0) app.addHook("onSend", () => new Promise((done) => setTimeout(done, distance)));
console.log(await app.listen({ port: 0, host: "127.0.0.1" }));
process.stdin.on("end", () => process.exit(0)).resume();
