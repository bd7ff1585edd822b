// Blocks of the documentation that are not run, by their first line, and why.

const DRAWING = "a drawing";
const SOCKET = "frames of a socket; messages/tests/websocket and clients/chat.test.js send and get them";
const BENCH = "takes minutes; a test of messages_bench reads the arguments";

export const NOT_RUN = {
  "README.md": {
    "$ cargo run --release": "builds for minutes; what it starts is what everything else here is run against",
    "$ make test": "is what runs this",
    "$ scripts/real-input": "a load of some hundred MB, and builds nothing up for what follows",
    "$ messages --listen 0.0.0.0:3000 --database-url postgres://… --redis-url redis://…":
      "needs a Postgres and a Redis; the suite has clusters",
    "socket → http → stream ──► committer ──► journal     durable": DRAWING,
    "$ cargo run --release -p messages_bench                  # verify: 2,000 channels, 5 clients each": BENCH,
  },
  "docs/auth.md": {
    "$ AUTH_JWKS=https://example.eu.auth0.com/.well-known/jwks.json AUTH_AUDIENCE=messages \\":
      "needs an identity provider",
  },
  "docs/benchmarks.md": {
    "$ messages_bench append --duration 8 --rounds 3 --pid PID --compare ds=http://127.0.0.1:4437/v1/stream,PID": BENCH,
    "$ scripts/with-postgres messages_bench crash --nodes 3 --seconds 120 --long-pauses": BENCH,
    "$ messages_bench fanout --url http://127.0.0.1:3001/v1/stream --read-url http://127.0.0.1:3002/v1/stream,http://127.0.0.1:3003/v1/stream \\":
      BENCH,
  },
  "docs/chat.md": {
    '> {"type":"follow","id":1,"from":{"team":"0000000000000041_0000000000007312"}}': SOCKET,
  },
  "docs/operations.md": {
    "$ docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t messages .": "needs Docker",
  },
  "docs/websocket.md": {
    '< {"type":"hello","version":1,"heartbeat_secs":25,"stall_secs":300,"limits":{"subscriptions":4096,"frame_bytes":1048576,"appends":64,"label_bytes":128,"bad_frames":16}}':
      SOCKET,
    "// Follows any number of streams through every break. `take` gets the content in order, all of it, once.":
      "messages/tests/websocket/example.rs runs it through a crash",
  },
};
