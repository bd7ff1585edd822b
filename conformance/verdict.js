// node verdict.js REPORT FILE...
//
// Reads vitest's JSON report: each FILE of the suite must have run completely. A test that is
// missing or skipped is as bad as one that fails, and vitest would not say so.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** As many tests as this version of the suite has. */
const TESTS = 338;

const [path, ...files] = process.argv.slice(2);
const report = JSON.parse(readFileSync(path, "utf8"));
let ok = report.success;

for (const file of files) {
  const result = report.testResults.find(({ name }) => name.endsWith(`/${file}`));
  const tests = result?.assertionResults ?? [];
  const count = (status) => tests.filter((test) => test.status === status).length;
  const [passed, failed] = [count("passed"), count("failed")];
  const skipped = tests.length - passed - failed;
  const seconds = result ? Math.round((result.endTime - result.startTime) / 1000) : 0;
  console.log(`${basename(file, ".test.js")}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  console.log(`  in ${seconds} s`);
  if (passed !== TESTS || tests.length !== TESTS) {
    console.log(`  expected ${TESTS} passed and nothing else`);
    ok = false;
  }
}
process.exitCode = ok ? 0 : 1;
