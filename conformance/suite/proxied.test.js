import { proxiedSuite } from "./suite.js";

proxiedSuite();
