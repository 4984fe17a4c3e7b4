//! What would end the host's transaction, however it is hidden.

use crate::shop::{Shop, code};
use pelton_core::effects::{SqlError, TransactionState};

#[test]
fn statements_of_the_host_are_refused_with_words_and_the_transaction_stands() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]).unwrap();
    for hidden in ["COMMIT", "/* x */ commit", "; COMMIT", "--\nEND", "ROLLBACK AND CHAIN", "SAVEPOINT a"] {
        let Err(SqlError::Refused(words)) = tx.execute(hidden, &[]) else { panic!("{hidden}") };
        assert!(words.contains("the transaction is the host's"), "{words}");
    }
    for other in ["SET search_path = x", "COPY stock FROM STDIN", "COPY stock TO STDOUT", "LISTEN x", ""] {
        assert!(matches!(tx.execute(other, &[]), Err(SqlError::Refused(_))), "{other}");
    }
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
    assert_eq!(tx.execute("UPDATE stock SET left_over = 2", &[]), Ok(1));
    drop(tx);
    assert_eq!(shop.db.number("SELECT count(*) FROM stock"), 0);
}

/// What the server itself refuses, since only the first word is looked at.
#[test]
fn what_is_hidden_behind_the_first_word_the_server_refuses() {
    let shop = Shop::open();
    shop.db.run("CREATE PROCEDURE ends() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'");
    shop.db.run(
        "CREATE FUNCTION ends2() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'COMMIT'; RETURN 1; END$$",
    );
    for (hidden, expected) in [
        ("SELECT 1; COMMIT", "42601"),
        ("INSERT INTO stock VALUES ('a', 1); /* x */ COMMIT;", "42601"),
        ("DO $$ BEGIN COMMIT; END $$", "2D000"),
        ("DO 'BEGIN ROLLBACK; END'", "2D000"),
        ("CALL ends()", "2D000"),
        ("SELECT ends2()", "0A000"),
        ("EXPLAIN ANALYZE COMMIT", "42601"),
    ] {
        let tx = shop.begin();
        tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]).unwrap();
        assert_eq!(code(tx.execute(hidden, &[])), expected, "{hidden}");
        assert!(matches!(tx.transaction.standing(), TransactionState::Failed(_)));
        drop(tx);
        assert_eq!(shop.db.number("SELECT count(*) FROM stock"), 0, "{hidden}");
    }
}

#[test]
fn words_in_strings_are_no_commands() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.execute("INSERT INTO stock VALUES ('; COMMIT; --', 1)", &[]).unwrap();
    tx.execute("DO $$ BEGIN PERFORM 'COMMIT'; END $$", &[]).unwrap();
    tx.execute("NOTIFY orders, 'COMMIT'", &[]).unwrap();
    drop(tx);
    // The first statement may say how isolated the transaction is.
    let tx = shop.begin();
    tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", &[]).unwrap();
    let level = tx.query("SHOW transaction_isolation", &[]).unwrap();
    assert_eq!(level.rows, [[crate::shop::text("serializable")]]);
}
