//! Decoding what was received, and keeping it ours meanwhile.

use crate::perform::Performer;
use pelton_core::pipeline::Read;
use pelton_core::ports::{Decoded, Decoder};
use pelton_core::{Delivery, Message, Receipt};
use std::time::Duration;

/// Parts of a lease after which it is renewed.
const PART: u64 = 3;

impl Performer {
    /// What handlers are to see of deliveries. A decoder may wait, such as for a registry that is away: their
    /// leases are renewed until it answers.
    pub(crate) async fn decode(&self, decoder: &dyn Decoder, mut deliveries: Vec<Delivery>) -> Vec<Read> {
        let messages: Vec<Message> = deliveries.iter().map(|delivery| delivery.message.clone()).collect();
        let mut decoding = decoder.decode(messages);
        let decoded = match self.ports.capabilities().lease_ms {
            None => decoding.await,
            Some(lease_ms) => loop {
                let rest = Duration::from_millis(lease_ms / PART);
                match tokio::time::timeout(rest, &mut decoding).await {
                    Ok(decoded) => break decoded,
                    Err(_) => self.renew(&mut deliveries).await,
                }
            },
        };
        debug_assert_eq!(decoded.len(), deliveries.len(), "a decoder answers for each message");
        // One that answers for fewer keeps no promise: what it says nothing of is not handled as it is.
        let unsaid = || Decoded::Invalid("its decoder has said nothing of it".to_owned());
        let decoded = decoded.into_iter().chain(std::iter::repeat_with(unsaid));
        deliveries
            .into_iter()
            .zip(decoded)
            .map(|(delivery, decoded)| self.known(delivery, decoded))
            .collect()
    }

    /// Renews what can be; the others end when their lease does.
    async fn renew(&self, deliveries: &mut [Delivery]) {
        let until = self.now().plus(self.ports.capabilities().lease_ms.unwrap_or(0));
        let receipts: Vec<Receipt> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        let renewed = self.ports.source.extend(receipts).await;
        for (delivery, _) in deliveries.iter_mut().zip(renewed).filter(|(_, renewed)| renewed.is_ok()) {
            delivery.lease_until = delivery.lease_until.map(|_| until);
        }
    }
}
