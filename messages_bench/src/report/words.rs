//! What the page says about each scenario.

/// The words for one scenario.
pub struct Words {
    /// Its name for people.
    pub title: &'static str,
    /// What was done.
    pub about: &'static str,
    /// The title of the latency plot.
    pub latency: &'static str,
    /// What the latency is.
    pub latency_about: &'static str,
    /// The title of the timeline.
    pub rate: &'static str,
    /// What one unit of the timeline is, in counted operations.
    pub scale: f64,
}

/// The words for the scenario of this name.
pub fn of(scenario: &str) -> Words {
    match scenario {
        "append" => Words {
            title: "Small appends",
            about: "Every connection has one append under way and sends the next when it is \
                    acknowledged; afterwards every stream is read and checked.",
            latency: "Latency of an append",
            latency_about: "From sending it to its acknowledgement.",
            rate: "Appends a second",
            scale: 1.0,
        },
        "fanout" => Words {
            title: "Fan-out",
            about: "Live readers follow what a writer appends; every record must come to every \
                    reader once and in order.",
            latency: "Latency of a delivery",
            latency_about: "From the moment a record was due to its arrival at a reader.",
            rate: "Deliveries a second",
            scale: 1.0,
        },
        "catchup" => Words {
            title: "Catch-up",
            about: "Readers read a large stream whole, again and again, and compare every byte.",
            latency: "Time of a whole read",
            latency_about: "From the request to the last byte.",
            rate: "MiB a second",
            scale: 1_048_576.0,
        },
        "cardinality" => Words {
            title: "New streams",
            about: "Every request creates a stream with a first append; a sample is read back.",
            latency: "Latency of a creation",
            latency_about: "From the request to its acknowledgement.",
            rate: "Creations a second",
            scale: 1.0,
        },
        "crash" => Words {
            title: "Crashes",
            about: "The server is killed under load and started again; nothing that was \
                    acknowledged or seen by a reader may be lost, doubled or changed.",
            latency: "Time of a restart",
            latency_about: "From starting the process to its being ready.",
            rate: "",
            scale: 1.0,
        },
        "chat" => Words {
            title: "Chat",
            about: "People send, edit, delete, react, read, lose their connections, are removed and \
                    added again while the server is killed; in the end everybody has the same, and \
                    exactly what the server had promised.",
            latency: "Time of a restart",
            latency_about: "From starting the process to its being ready.",
            rate: "",
            scale: 1.0,
        },
        "chat-load" => Words {
            title: "Chat under load",
            about: "People on sockets send messages to their conversations; every message must come \
                    to every member once and in order, also when all come back at once.",
            latency: "Latency at the last receiver",
            latency_about: "From the moment a message was due to its arrival at the last member.",
            rate: "Deliveries a second",
            scale: 1.0,
        },
        _ => Words {
            title: "Verification",
            about: "Many productions at once, several readers of each, joining at random moments; \
                    every byte of every reader is compared.",
            latency: "Time to the head of a response",
            latency_about: "Of all requests that start or join a production.",
            rate: "Responses begun a second",
            scale: 1.0,
        },
    }
}
