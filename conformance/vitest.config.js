import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["*/*.test.js"],
    // Two of the suite's tests wait for as long as the server lets a long poll wait.
    testTimeout: 40_000,
    hookTimeout: 40_000,
    // Every file has servers of its own and mostly waits, so all of them run at the same time,
    // however few cores there are.
    maxWorkers: 8,
  },
});
