// The console reads what Prometheus reads.

import { expect, test } from "vitest";
import { parse, sum } from "../../messages/console/health/metrics.js";

test("samples have names, labels and values", () => {
  const text = `# HELP requests_total What was asked.
# TYPE requests_total counter
requests_total{method="GET",path="/a\\"b\\\\c\\nd"} 3
requests_total{method="PUT"} 1.5e3 1700000000000

lag_seconds_bucket{le="+Inf"} 7
lag NaN
high +Inf`;
  expect(parse(text)).toEqual([
    { name: "requests_total", labels: { method: "GET", path: '/a"b\\c\nd' }, value: 3 },
    { name: "requests_total", labels: { method: "PUT" }, value: 1500 },
    { name: "lag_seconds_bucket", labels: { le: "+Inf" }, value: 7 },
    { name: "lag", labels: {}, value: NaN },
    { name: "high", labels: {}, value: Infinity },
  ]);
});

test("sums are of what fits", () => {
  const samples = parse('a{x="1",y="1"} 1\na{x="1",y="2"} 2\na{x="2"} 4\n');
  expect([
    sum(samples, "a"),
    sum(samples, "a", { x: "1" }),
    sum(samples, "a", { x: "3" }),
    sum(samples, "b"),
  ]).toEqual([7, 3, undefined, undefined]);
});
