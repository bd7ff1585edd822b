import { suite } from "./suite.js";

suite("postgres", "sync");
