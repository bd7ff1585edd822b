import { clusterSuite } from "./suite.js";

clusterSuite(3, "TEST_REDIS_CLUSTER_URL");
