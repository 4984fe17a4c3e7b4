use super::handle;
use pelton_sdk::Message;

/// SHA-256 of `abc`, from FIPS 180-4's example.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn an_upload_that_arrived_whole_is_accepted() {
    for announced in [ABC.to_owned(), ABC.to_uppercase()] {
        let message = Message::builder().body("abc").header("sha256", announced);
        assert_eq!(handle(message.build()), Ok(()));
    }
    assert_eq!(handle(Message::builder().body("abc").build()), Ok(()));
}

#[test]
fn a_damaged_upload_is_rejected_with_both_digests() {
    let message = Message::builder().body("abd").header("sha256", ABC);
    let failure = handle(message.build()).expect_err("damaged");
    assert!(failure.is_reject());
    assert!(failure.reason().contains(ABC), "{failure}");
}

#[test]
fn more_rounds_hash_the_digest_again() {
    // SHA-256 of the 32 bytes of `ABC`.
    let twice = "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358";
    let message = Message::builder().body("abc").header("rounds", "2");
    assert_eq!(handle(message.header("sha256", twice).build()), Ok(()));
}

#[test]
fn rounds_that_make_no_sense_are_rejected() {
    for rounds in ["0", "many", "4000000000"] {
        let message = Message::builder().header("rounds", rounds).build();
        let failure = handle(message).expect_err("no number of rounds");
        assert!(failure.is_reject() && failure.reason().contains("`rounds`"));
    }
}
