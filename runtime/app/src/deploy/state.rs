//! What is known of the versions of one handler, over restarts. Pure; the catalog keeps it.

use serde::{Deserialize, Serialize};

/// Versions that are kept, the one in use included.
pub const KEPT: usize = 5;

/// One version that was good once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub digest: String,
    pub size: u64,
    pub imports: Vec<String>,
    /// Where it came from: a path, or a word of ours.
    pub origin: String,
    /// When it last became the one in use.
    pub since_ms: u64,
    /// A rollback left it: the next one does not come back to it by itself.
    #[serde(default)]
    pub left: bool,
}

/// What a reference to a registry was found to be: it stays that until it is deployed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// As it is written in the configuration.
    pub reference: String,
    /// The digest of the manifest.
    pub manifest: String,
    /// The digest of the component.
    pub component: String,
}

/// All of them; the file of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsState {
    /// The one in use is the first; then those before it, the latest first.
    pub versions: Vec<Kept>,
    /// The digest of the configured file when it was last taken, or refused for what it is. A file that is
    /// as it was does not replace what was deployed since. What was refused for lack of room or time, or
    /// for what its pipeline is set to, counts as not looked at.
    #[serde(default, rename = "seen")]
    pub configured: Option<String>,
    #[serde(default)]
    pub pin: Option<Pin>,
}

impl VersionsState {
    /// The version in use.
    pub fn promoted(&self) -> Option<&Kept> {
        self.versions.first()
    }

    /// What a reference was found to be.
    pub fn pinned(&self, reference: &str) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.reference == reference)
    }

    /// The configured component was looked at, and taken or refused for good.
    pub fn set_configured(&mut self, digest: String, pin: Option<Pin>) {
        self.configured = Some(digest);
        self.pin = pin.or(self.pin.take());
    }

    pub fn find(&self, digest: &str) -> Option<&Kept> {
        self.versions.iter().find(|kept| kept.digest == digest)
    }

    /// The versions whose digest begins so, with or without `sha256:`.
    pub fn matching(&self, prefix: &str) -> Vec<&Kept> {
        let wanted = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        let digits = |kept: &&Kept| kept.digest.trim_start_matches("sha256:").starts_with(wanted);
        self.versions.iter().filter(digits).collect()
    }

    /// A version is in use from now on.
    pub fn promote(&mut self, version: Kept) {
        self.versions.retain(|kept| kept.digest != version.digest);
        self.versions.insert(0, version);
        self.versions.truncate(KEPT);
    }

    /// The version that a rollback goes to: the last one in use that was not left by a rollback itself.
    pub fn before(&self) -> Option<&Kept> {
        self.versions.iter().skip(1).find(|kept| !kept.left)
    }

    /// The digest of the version that a rollback to `to` means: the beginning of one, or the version before.
    pub fn rollback_target(&self, to: Option<&str>) -> Result<String, String> {
        let kept = || {
            let all: Vec<&str> = self.versions.iter().map(|kept| kept.digest.as_str()).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        };
        let Some(prefix) = to else {
            let before = self.before().map(|kept| kept.digest.clone());
            return before.ok_or_else(|| {
                "there is no version before the one in use that was not left by a rollback; name one with \
                 --to: `pelton versions` shows them"
                    .to_owned()
            });
        };
        match self.matching(prefix).as_slice() {
            [one] => Ok(one.digest.clone()),
            [] => Err(format!("no version that is kept begins with `{prefix}`; there are {}", kept())),
            _ => Err(format!("several versions begin with `{prefix}`; write more of it: {}", kept())),
        }
    }

    /// The version in use is left for an earlier one.
    pub fn leave(&mut self) {
        if let Some(first) = self.versions.first_mut() {
            first.left = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(digest: &str) -> Kept {
        Kept {
            digest: format!("sha256:{digest}"),
            size: 1,
            imports: Vec::new(),
            origin: "f".to_owned(),
            since_ms: 0,
            left: false,
        }
    }

    #[test]
    fn a_rollback_goes_back_and_not_forth() {
        let mut state = VersionsState::default();
        ["a", "b", "c"].iter().for_each(|d| state.promote(kept(d)));
        assert_eq!(state.before().unwrap().digest, "sha256:b");
        state.leave();
        state.promote(kept("b"));
        assert_eq!(state.before().unwrap().digest, "sha256:a", "c was left");
        assert_eq!(state.matching("sha256:c").len(), 1);
        assert_eq!(state.matching("").len(), 3);
    }

    #[test]
    fn the_oldest_are_let_go() {
        let mut state = VersionsState::default();
        (0..9).for_each(|n| state.promote(kept(&n.to_string())));
        state.promote(kept("6"));
        let left: Vec<&str> = state.versions.iter().map(|k| &k.digest[7..]).collect();
        assert_eq!(left, ["6", "8", "7", "5", "4"]);
    }
}
