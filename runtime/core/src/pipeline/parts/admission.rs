//! What is asked of the source: one receive at a time, and none while something goes back to it.

/// Where the one receive is that may be under way.
#[derive(Debug, Default)]
pub struct Admission {
    receives: u64,
    /// Asked, and not answered.
    asked: Option<u64>,
    /// The one whose answer is being taken in.
    answering: Option<u64>,
    /// Deliveries of lanes that are on their way back to the broker.
    going_back: usize,
    /// Nothing more is asked for, whatever room there is.
    is_held: bool,
    /// Number of the last receipt.
    receipts: u64,
}

impl Admission {
    /// The receive that may still bring something; 0 for none.
    pub fn under_way(&self) -> u64 {
        self.asked.or(self.answering).unwrap_or(0)
    }

    /// Whether to ask for more: what goes back must be there before the source is read again, or it is
    /// overtaken.
    pub fn may_ask(&self) -> bool {
        self.asked.is_none() && self.going_back == 0 && !self.is_held
    }

    /// Asks for nothing more from now on, or again.
    pub fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    pub fn ask(&mut self) {
        self.receives += 1;
        self.asked = Some(self.receives);
    }

    /// It is answered: what it brings is taken in until `is_taken_in`.
    pub fn is_answered(&mut self) {
        self.answering = self.asked.take();
    }

    pub fn is_taken_in(&mut self) {
        self.answering = None;
    }

    /// One more is on its way back, to a broker that keeps its lane in order.
    pub fn goes_back(&mut self) {
        self.going_back += 1;
    }

    /// It is there.
    pub fn is_back(&mut self) {
        self.going_back -= 1;
    }

    pub fn going_back(&self) -> usize {
        self.going_back
    }

    /// The number of one more receipt: the order within a lane.
    pub fn next_order(&mut self) -> u64 {
        self.receipts += 1;
        self.receipts
    }
}
