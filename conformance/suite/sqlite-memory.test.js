import { suite } from "./suite.js";

suite("sqlite", "memory");
