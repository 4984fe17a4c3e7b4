use super::*;

#[test]
fn addresses_of_queues_are_told_from_others() {
    let good = [
        "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
        "http://localhost:9324/000000000000/orders_1-x.fifo",
        "http://[::1]:9324/queue/orders",
        "http://[::1]/queue/orders",
        "http://elasticmq/orders",
    ];
    assert_eq!(good.map(is_queue_url), [true; 5]);
    let bad = [
        "",
        "orders",
        "arn:aws:sqs:us-east-1:123456789012:orders",
        "sqs://localhost/0/orders",
        "http://localhost",
        "http://localhost/",
        "http://localhost/0/orders/",
        "http:///0/orders",
        "http://:9324/0/orders",
        "http://localhost:99999/0/orders",
        "http://me:secret@localhost/0/orders",
        "http://local host/0/orders",
        "http://localhost/0/the orders",
        "http://localhost/0/orders?x=y",
        "http://localhost/0/orders.old",
        "http://localhost/0/.fifo",
    ];
    bad.into_iter().for_each(|url| assert!(!is_queue_url(url), "{url}"));
}
