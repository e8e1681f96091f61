//! Bugs on purpose, in the driver or in the servers, to see that the rules notice them.

/// What is broken in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The driver says that a write is durable, and never makes it.
    LateWrites,
    /// The store compares nothing when it swaps.
    BlindSwaps,
    /// The driver brings the answer of an earlier refresh again.
    ReplaysAnswers,
    /// The driver goes on writing to the connection that the machine has taken away from the application.
    StaysDirect,
    /// The driver forgets the messages that a dead connection did not send.
    LosesUnsent,
    /// The driver writes each message that it is given twice.
    WritesTwice,
    /// The clocks of the device go at half their speed, and nothing says so.
    ClockStands,
    /// The driver never says that a connection is over.
    NeverEnds,
    /// The driver asks for a refresh whenever a new token comes.
    RefreshesInCircles,
    /// The driver never says that the network is back.
    ForgetsNetwork,
}

impl Sabotage {
    /// All of them that break something.
    pub const ALL: [Self; 10] = [
        Self::LateWrites,
        Self::BlindSwaps,
        Self::ReplaysAnswers,
        Self::StaysDirect,
        Self::LosesUnsent,
        Self::WritesTwice,
        Self::ClockStands,
        Self::NeverEnds,
        Self::RefreshesInCircles,
        Self::ForgetsNetwork,
    ];
}
