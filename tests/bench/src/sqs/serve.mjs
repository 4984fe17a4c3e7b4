// fauxqs on a free port of 127.0.0.1, whose address is printed. Ends with its standard input.
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false });
console.log(await app.listen({ port: 0, host: "127.0.0.1" }));
process.stdin.on("end", () => process.exit(0)).resume();
