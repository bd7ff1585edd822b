import { suite } from "./suite.js";

suite("postgres", "memory");
