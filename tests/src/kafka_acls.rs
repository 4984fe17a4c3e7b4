//! A broker that lets each user do what is allowed it, and nothing else.

use crate::kafka::Broker;
use crate::kafka_wire::text;
use crate::ports;

/// Who is allowed nothing at first.
pub const USER: &str = "worker";
/// The password.
pub const PASSWORD: &str = "waterwheel";
const CREATE_ACLS: (i16, i16) = (30, 1);

/// What may be allowed on, by its number in the protocol.
#[derive(Debug, Clone, Copy)]
pub enum Resource {
    /// A topic.
    Topic = 2,
    /// A group.
    Group = 3,
}

/// What may be done, by its number in the protocol.
#[derive(Debug, Clone, Copy)]
pub enum Operation {
    /// To read.
    Read = 3,
    /// To write.
    Write = 4,
    /// To see that it is there.
    Describe = 8,
}

/// A broker with one more way to it.
pub struct GuardedBroker {
    /// It, with its open way for the test, which may do all.
    pub broker: Broker,
    /// `host:port` of the way that wants a login.
    pub address: String,
}

impl GuardedBroker {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        let guarded = ports::free(1);
        let broker = Broker::start_with(|dir, port| {
            std::fs::write(dir.join("more.properties"), settings(port, guarded)).expect("it is written");
        });
        Self { broker, address: format!("127.0.0.1:{guarded}") }
    }

    /// The lines of `librdkafka` that log the user in.
    #[must_use]
    pub fn login() -> String {
        format!(
            "\"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \
             \"{USER}\", \"sasl.password\" = \"{PASSWORD}\""
        )
    }

    /// Allows the user something.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn allow(&self, operation: Operation, resource: Resource, name: &str) {
        let mut ask = 1i32.to_be_bytes().to_vec();
        ask.push(resource as u8);
        text(&mut ask, name);
        // By its whole name.
        ask.push(3);
        text(&mut ask, &format!("User:{USER}"));
        text(&mut ask, "*");
        ask.extend([operation as u8, 3]);
        let answer = self.broker.exchange(CREATE_ACLS, &ask);
        // After its delay and the number of its results comes the first one's code.
        assert_eq!(answer.get(8..10), Some(&[0, 0][..]), "it is allowed: {answer:?}");
    }
}

fn settings(port: u16, guarded: u16) -> String {
    let controller = port + 1;
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},GUARDED://127.0.0.1:{guarded}"
    );
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    format!(
        "listeners={listeners}\nadvertised.listeners={listeners}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN\n\
         listener.name.guarded.plain.sasl.jaas.config={plain} required user_{USER}=\"{PASSWORD}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n"
    )
}
