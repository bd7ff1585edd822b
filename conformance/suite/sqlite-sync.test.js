import { suite } from "./suite.js";

suite("sqlite", "sync");
