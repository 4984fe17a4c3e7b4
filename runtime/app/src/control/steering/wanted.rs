//! What operators want of a pipeline: how it changes, and what of it holds at a time.

use super::{
    PauseRequest, PauseStatus, RateFor, RateRequest, RateStatus, ResumeRequest, Scope, SteeringStatus,
};
use pelton_core::number::millis;
use pelton_core::units::LONGEST;

/// Bytes of a reason, at most.
const REASON_BYTES: usize = 1_024;
/// Bytes of who asks, and of the name of a partition, at most.
const NAME_BYTES: usize = 512;
/// Messages a second, at least and at most.
const RATES: (f64, f64) = (0.01, 1e9);

/// Who wants something, when, and of which workers.
#[derive(Debug, Clone, Copy)]
pub struct Order<'o> {
    pub by: &'o str,
    pub now_ms: u64,
    pub scope: Scope,
}

impl SteeringStatus {
    /// Without what has ended by then.
    pub fn at(&self, now_ms: u64) -> Self {
        let holds = |pause: &PauseStatus| pause.until_ms.is_none_or(|until| until > now_ms);
        let partitions = self.partitions.iter().filter(|(_, pause)| holds(pause));
        Self {
            paused: self.paused.clone().filter(holds),
            partitions: partitions.map(|(name, pause)| (name.clone(), pause.clone())).collect(),
            rate: self.rate.clone().filter(|rate| rate.until_ms > now_ms),
        }
    }

    /// When the first of it ends by itself, in milliseconds since the epoch.
    pub fn next_end(&self) -> Option<u64> {
        let pauses = self.paused.iter().chain(self.partitions.values());
        let rate = self.rate.iter().map(|rate| rate.until_ms);
        pauses.filter_map(|pause| pause.until_ms).chain(rate).min()
    }

    /// Nothing is wanted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What comes of both: the pause that lasts longer, and the rate that is lower.
    pub fn beside(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.paused = longer(both.paused, other.paused.clone());
        for (name, pause) in &other.partitions {
            let known = both.partitions.remove(name);
            both.partitions.extend(longer(known, Some(pause.clone())).map(|pause| (name.clone(), pause)));
        }
        let lower =
            |one: &RateStatus| other.rate.as_ref().is_none_or(|its| one.per_second <= its.per_second);
        both.rate = both.rate.filter(lower).or_else(|| other.rate.clone());
        both
    }

    /// With a pause.
    pub fn pause(&self, wanted: &PauseRequest, order: Order<'_>) -> Self {
        let pause = PauseStatus {
            by: order.by.to_owned(),
            reason: wanted.reason.clone(),
            since_ms: order.now_ms,
            until_ms: wanted.for_ms.map(|for_ms| order.now_ms.saturating_add(for_ms)),
            scope: order.scope,
        };
        let mut now = self.clone();
        match &wanted.partition {
            Some(partition) => drop(now.partitions.insert(partition.clone(), pause)),
            None => now.paused = Some(pause),
        }
        now
    }

    /// Without one pause, or without all.
    pub fn resume(&self, wanted: &ResumeRequest) -> Self {
        let mut now = self.clone();
        match &wanted.partition {
            Some(partition) => drop(now.partitions.remove(partition)),
            None => {
                now.paused = None;
                now.partitions.clear();
            }
        }
        now
    }

    /// With another rate, or with the configured one.
    pub fn rate(&self, wanted: Option<RateFor>, order: Order<'_>) -> Self {
        let rate = wanted.map(|RateFor { per_second, for_ms }| RateStatus {
            per_second,
            by: order.by.to_owned(),
            since_ms: order.now_ms,
            until_ms: order.now_ms.saturating_add(for_ms),
            scope: order.scope,
        });
        Self { rate, ..self.clone() }
    }

    /// As it is kept; none where nothing is wanted.
    pub fn written(&self) -> Option<String> {
        (!self.is_nothing()).then(|| serde_json::to_string(self).ok()).flatten()
    }

    /// As it was kept. `Err` says that another program has written it.
    pub fn read(text: Option<&str>) -> Result<Self, String> {
        let read = |text| serde_json::from_str(text).map_err(|error| error.to_string());
        text.map_or_else(|| Ok(Self::default()), read)
    }
}

fn longer(one: Option<PauseStatus>, other: Option<PauseStatus>) -> Option<PauseStatus> {
    let (Some(one), Some(other)) = (&one, &other) else { return one.or(other) };
    let end = |pause: &PauseStatus| pause.until_ms.unwrap_or(u64::MAX);
    Some(if end(other) > end(one) { other } else { one }.clone())
}

impl PauseRequest {
    /// Whether it may be kept. `Err` says what is wrong.
    pub fn checked(&self) -> Result<(), String> {
        self.reason.as_ref().map_or(Ok(()), |reason| a_line("the reason", reason, REASON_BYTES))?;
        self.partition.as_ref().map_or(Ok(()), |name| a_line("the partition", name, NAME_BYTES))?;
        self.for_ms.map_or(Ok(()), a_time)?;
        a_line("who asks", &self.by, NAME_BYTES)
    }
}

impl RateRequest {
    /// Whether it may be kept. `Err` says what is wrong.
    pub fn checked(&self) -> Result<(), String> {
        a_line("who asks", &self.by, NAME_BYTES)?;
        let Some(RateFor { per_second, for_ms }) = self.rate else { return Ok(()) };
        let (least, most) = RATES;
        if !(least..=most).contains(&per_second) {
            return Err(format!("a rate is from {least} to {most} messages a second; `pause` stops all"));
        }
        a_time(for_ms)
    }
}

fn a_line(what: &str, text: &str, most: usize) -> Result<(), String> {
    if text.trim().is_empty() || text.len() > most || text.contains(char::is_control) {
        return Err(format!("{what} is a line of text, of {most} bytes at most"));
    }
    Ok(())
}

fn a_time(for_ms: u64) -> Result<(), String> {
    if for_ms == 0 || for_ms > millis(LONGEST) {
        return Err("how long it holds is more than nothing, and at most 36500d".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ORDER: Order<'_> = Order { by: "ann@shop", now_ms: 1_000, scope: Scope::Worker };

    fn pause(partition: Option<&str>, for_ms: Option<u64>) -> PauseRequest {
        PauseRequest {
            pipeline: "orders".to_owned(),
            partition: partition.map(str::to_owned),
            reason: Some("the database moves".to_owned()),
            for_ms,
            here: false,
            by: ORDER.by.to_owned(),
        }
    }

    fn resume(partition: Option<&str>) -> ResumeRequest {
        let by = ORDER.by.to_owned();
        ResumeRequest {
            pipeline: "orders".to_owned(),
            partition: partition.map(str::to_owned),
            here: false,
            by,
        }
    }

    #[test]
    fn a_pause_holds_until_its_end_and_one_without_an_end_until_it_is_resumed() {
        let now = SteeringStatus::default().pause(&pause(None, Some(500)), ORDER);
        let now = now.pause(&pause(Some("orders/3"), None), ORDER);
        assert_eq!(now.next_end(), Some(1_500));
        assert!(now.at(1_499).paused.is_some() && now.at(1_500).paused.is_none());
        assert_eq!(now.at(u64::MAX).partitions.len(), 1);
        assert_eq!(now.at(u64::MAX).next_end(), None);
        assert!(now.resume(&resume(Some("orders/3"))).paused.is_some());
        assert!(now.resume(&resume(None)).is_nothing());
        let far = SteeringStatus::default().pause(&pause(None, Some(u64::MAX)), ORDER);
        assert_eq!(far.next_end(), Some(u64::MAX));
    }

    #[test]
    fn of_two_words_the_stricter_holds() {
        let nothing = SteeringStatus::default();
        let (short, long) =
            (nothing.pause(&pause(None, Some(5)), ORDER), nothing.pause(&pause(None, None), ORDER));
        assert_eq!(short.beside(&long), long);
        assert_eq!(long.beside(&short), long);
        let at = |per_second| nothing.rate(Some(RateFor { per_second, for_ms: 9 }), ORDER);
        assert_eq!(at(5.0).beside(&at(7.0)), at(5.0));
        assert_eq!(at(7.0).beside(&at(5.0)), at(5.0));
        assert_eq!(nothing.beside(&at(5.0)), at(5.0));
        let parts = nothing.pause(&pause(Some("a/1"), None), ORDER);
        let both = parts.beside(&nothing.pause(&pause(Some("a/2"), None), ORDER));
        assert_eq!(both.partitions.len(), 2);
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_others_have_kept_too() {
        let now = SteeringStatus::default().pause(&pause(Some("orders/3"), Some(7)), ORDER);
        assert_eq!(SteeringStatus::read(now.written().as_deref()), Ok(now));
        assert_eq!(SteeringStatus::default().written(), None);
        assert_eq!(SteeringStatus::read(None), Ok(SteeringStatus::default()));
        let newer =
            r#"{"paused":{"by":"x","reason":null,"since_ms":1,"until_ms":null,"colour":7},"more":[]}"#;
        assert!(SteeringStatus::read(Some(newer)).unwrap().paused.is_some());
        assert!(SteeringStatus::read(Some("[")).is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert_eq!(pause(Some("a/1"), Some(1)).checked(), Ok(()));
        for reason in ["", " ", "two\nlines", &"x".repeat(1_025)] {
            let wanted = PauseRequest { reason: Some(reason.to_owned()), ..pause(None, None) };
            assert!(wanted.checked().is_err(), "{reason:?}");
        }
        assert!(pause(None, Some(0)).checked().is_err());
        let rate = |per_second, for_ms| RateRequest {
            pipeline: "orders".to_owned(),
            rate: Some(RateFor { per_second, for_ms }),
            here: false,
            by: ORDER.by.to_owned(),
        };
        assert_eq!(rate(50.0, 1).checked(), Ok(()));
        for wrong in [rate(0.0, 1), rate(-1.0, 1), rate(f64::NAN, 1), rate(f64::INFINITY, 1), rate(5.0, 0)]
        {
            assert!(wrong.checked().is_err(), "{wrong:?}");
        }
    }
}
