// May this statement run, says dbhub in read-only mode? `peer_dbhub.mjs DIST`: a JSON object a line in, a bool out.
// Every statement of the text has to be a reading one to it, as in its `classifySQL`.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const dist = process.argv[2];

async function exported(name) {
  for (const file of readdirSync(dist).filter((file) => /^chunk-.*\.js$/.test(file))) {
    const path = join(dist, file);
    const exports = readFileSync(path, "utf8").split("\nexport {").at(-1);
    if (exports.includes(` ${name}`)) return (await import(pathToFileURL(path)))[name];
  }
  throw new Error(`no chunk of dbhub exports ${name}`);
}

const splitSQLStatements = await exported("splitSQLStatements");
const isReadOnlySQL = await exported("isReadOnlySQL");

for await (const line of createInterface({ input: process.stdin })) {
  const { engine, sql } = JSON.parse(line);
  let permitted = false;
  try {
    permitted = splitSQLStatements(sql, engine).every((statement) => isReadOnlySQL(statement, engine));
  } catch {
    permitted = false;
  }
  console.log(JSON.stringify(permitted));
}
