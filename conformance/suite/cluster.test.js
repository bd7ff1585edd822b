import { clusterSuite } from "./suite.js";

clusterSuite(3);
